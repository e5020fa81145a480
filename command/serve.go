package command

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"ticketproxy/config"
	"ticketproxy/process"
	"ticketproxy/server"
)

// Serve runs the proxy until ctx is done, and drains it then.
func Serve(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "serve", args); err != nil {
		return err
	}
	// A second signal ends the process at once until the configuration is read, because a
	// file may be on a disk that does not answer.
	files, err := config.Open(env.environment())
	if err != nil {
		return err
	}
	env.Signals.Drains()
	systemd := process.NewNotifier(env.getenv, os.Getpid())
	s, err := env.server(files, systemd)
	if err != nil {
		return err
	}
	if env.getenv("GOGC") == "" { // otherwise the user has tuned the garbage collector
		defer runtime.KeepAlive(process.Ballast())
	}
	done := make(chan struct{})
	var watchdog sync.WaitGroup
	watchdog.Go(func() { systemd.KeepAlive(done) })
	defer watchdog.Wait()
	defer close(done)
	return s.Run(ctx, func([]net.Addr) {
		systemd.Ready()
		if admin, err := env.adminClient(); err == nil && env.Terminal {
			fmt.Fprintf(env.Stderr, "status page: %s\n", admin.page())
		}
	})
}

// server returns the server for a configuration.
func (e *Env) server(files *config.Files, systemd *process.Notifier) (*server.Server, error) {
	c := files.Config()
	return server.New(c, server.Options{
		Version:   e.Version,
		Log:       e.logger(c),
		LogOutput: e.LogOutput,
		Stdout:    e.Stdout,
		Stderr:    e.Stderr,
		Network:   e.Network,
		Limits:    e.Limits,
		Signals:   e.Signals,
		Draining:  systemd.Stopping,
		Reload:    files.Reread,
	})
}
