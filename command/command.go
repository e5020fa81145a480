package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/process"
	"ticketproxy/server"
)

// An Env is the environment of a verb.
type Env struct {
	Version   string
	Environ   []string // NAME=value, as os.Environ gives them
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	Journal   bool                       // whether Stderr is systemd's journal
	Terminal  bool                       // whether Stderr is a terminal
	LogOutput *process.LossyWriter       // the writer behind Stderr; nil when no line can be lost
	Signals   process.Signals            // for verbs that drain
	Limits    process.Limits             // limits of this process
	Network   server.Network             // how apps and issuers are reached
	Browse    func(address string) error // opens a web page; nil opens the person's browser
}

// A verb is a command of the program.
type verb struct {
	name string
	does string
	run  func(ctx context.Context, env *Env, args []string) error
}

// verbs are in the order in which help shows them.
func verbs() []verb {
	return []verb{
		{"serve", "run the proxy until SIGTERM or SIGINT (also without a verb)", Serve},
		{"demo", "try the whole product against the built-in sandbox; --once ends after one request to each API", Demo},
		{"sandbox", "run the built-in issuers and APIs alone; see sandbox --help", Sandbox},
		{"check", "prove configuration, state, DNS, TLS and reachability, without spending a refresh token; " +
			"or say what a caller may do: see check --help", Check},
		{"login", "obtain the first grant of an account; see login --help", Login},
		{"status", "show each account of a running instance", Status},
		{"wait", "block until a running instance is ready; --timeout 60s", Wait},
		{"shutdown", "ask a running instance to drain and stop", Shutdown},
		{"key", "make a key for the caller NAME; prints it once, and the lines for TICKETPROXY_CALLERS_FILE", Key},
		{"token", "print an access token, of a running instance or by way of the state; see token --help", Token},
		{"rekey", "encrypt every record to the first identity of TICKETPROXY_STATE_KEY_FILE", Rekey},
		{"completion", "print the completion script of a shell: bash, zsh or fish", Completion},
		{"version", "print the version", Version},
		{"help", "print this; help env prints every variable", Help},
	}
}

// Run runs the verb that the arguments name. Without arguments it runs serve.
func Run(ctx context.Context, env *Env, args []string) error {
	name := "serve"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	for _, v := range verbs() {
		if v.name == name {
			return v.run(ctx, env, args)
		}
	}
	return hint.Usage(fmt.Errorf("%q is not a verb", name), "ticketproxy help lists them")
}

// configure parses the environment.
func (e *Env) configure() (config.Config, error) {
	return config.Parse(e.environment())
}

func (e *Env) environment() config.Environment {
	return config.Environment{Vars: e.Environ, StateDir: process.StateDir(e.getenv, os.Geteuid())}
}

func (e *Env) getenv(name string) string {
	for _, pair := range e.Environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// noArguments checks the arguments of a verb that takes none. For --help it prints the
// program's help.
func noArguments(env *Env, verb string, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		printVerbs(env.Stdout)
		return errHelp
	}
	return hint.Usage(fmt.Errorf("%s takes no arguments, and %q was given", verb, args[0]),
		"configuration comes from the environment: ticketproxy help env")
}

// parseFlags parses the flags of a verb that takes no other arguments.
func parseFlags(env *Env, flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return errHelp
	}
	if err != nil {
		return hint.Usage(err, "ticketproxy "+flags.Name()+" --help shows its flags")
	}
	return noArguments(env, flags.Name(), flags.Args())
}
