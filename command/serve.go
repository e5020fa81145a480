package command

import (
	"context"
	"runtime"

	"ticketproxy/process"
	"ticketproxy/server"
)

// Serve runs the proxy until ctx is done, and drains it then.
func Serve(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "serve", args); err != nil {
		return err
	}
	env.Signals.Drains()
	s, err := env.server()
	if err != nil {
		return err
	}
	if env.getenv("GOGC") == "" { // otherwise the user has tuned the collector
		defer runtime.KeepAlive(process.Ballast())
	}
	return s.Run(ctx, nil)
}

// server puts together the server that the environment describes.
func (e *Env) server() (*server.Server, error) {
	c, err := e.configure()
	if err != nil {
		return nil, err
	}
	return server.New(c, server.Options{
		Version:   e.Version,
		Log:       e.logger(c),
		LogOutput: e.LogOutput,
		Network:   e.Network,
		Limits:    e.Limits,
		Signals:   e.Signals,
		Reload:    e.configure,
	})
}
