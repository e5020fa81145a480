// Command ticketproxy is an authenticating sidecar: it lets an app that knows
// nothing of OAuth talk plain HTTP to localhost, while the API at the far end
// sees a fresh bearer token.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strings"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy"
)

// version is set at build time, with -ldflags "-X main.version=1.2.3".
var version = "devel"

// A verb is what the program does when it is called by that name.
type verb struct {
	name string
	does string
	run  func(ctx context.Context, p *process, args []string) error
}

// verbs are in the order in which help shows them.
func verbs() []verb {
	return []verb{
		{"serve", "run the proxy until SIGTERM or SIGINT (also without a verb)", serve},
		{"demo", "try the whole product against the built-in sandbox; --once ends after one request to each API", demo},
		{"sandbox", "run the built-in issuers and APIs alone; see sandbox --help", runSandbox},
		{"check", "prove configuration, state, DNS, TLS and reachability, without spending a refresh token", check},
		{"login", "obtain the first grant of an account; see login --help", login},
		{"status", "show each account of a running instance", status},
		{"wait", "block until a running instance is ready; --timeout 60s", wait},
		{"shutdown", "ask a running instance to drain and stop", shutdown},
		{"version", "print the version", printVersion},
		{"help", "print this; help env prints every variable", help},
	}
}

// A process is what a verb may touch of the world around it.
type process struct {
	environ     []string
	stdin       io.Reader
	stdout      io.Writer
	stderr      io.Writer
	output      *lossyWriter // what stderr is; nil when that loses nothing
	signals     signals
	terminal    bool   // stderr is one
	stateHome   string // the user's directory for state; "" when there is none
	descriptors uint64 // that may be open; 0 when not known
	memory      int64  // bytes that the runtime may take; 0 when not known
	listen      func(ctx context.Context, network, address string) (net.Listener, error)
	dial        proxy.Dialer               // nil is the network's
	browse      func(address string) error // shows a web page to the person
}

func main() {
	log.SetOutput(io.Discard) // net/http quotes there what peers send, which may be a token
	ctx, signals := watchSignals()
	stderr := &lossyWriter{out: os.Stderr}
	var listener net.ListenConfig
	p := &process{
		environ:     os.Environ(),
		stdin:       os.Stdin,
		stdout:      os.Stdout,
		stderr:      stderr,
		output:      stderr,
		signals:     signals,
		terminal:    isTerminal(os.Stderr),
		stateHome:   stateHome(os.Getenv, os.Geteuid()),
		descriptors: descriptors(),
		memory:      memoryLimit(),
		listen:      listener.Listen,
		browse:      openBrowser(os.Environ()),
	}
	if err := harden(); err != nil {
		fmt.Fprintf(p.stderr, "ticketproxy: keeping memory out of core dumps: %v\n", err)
	}
	code := exit(p.stderr, run(ctx, p, os.Args[1:]))
	stderr.flush()
	os.Exit(code)
}

// run runs the verb that the arguments name.
func run(ctx context.Context, p *process, args []string) error {
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
	if len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") && !slices.Contains([]string{"demo", "sandbox", "wait", "login"}, name) {
		name, args = "help", nil
	}
	for _, v := range verbs() {
		if v.name == name {
			return v.run(ctx, p, args)
		}
	}
	return usage(fmt.Errorf("%q is not a verb", name), "ticketproxy help lists them")
}

// A usageError says that the command line is wrong.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// usage returns err as a mistake in the command line.
func usage(err error, advice string) error { return &usageError{hint.With(err, advice)} }

// errHelp ends a verb that was asked for its flags, and has printed them.
var errHelp = errors.New("help")

// errSaid ends a verb with exit code 1 after it has said why.
var errSaid = errors.New("said")

// exit prints what went wrong, each error on a line of its own with a hint where
// a person can do something, and returns the exit code.
func exit(stderr io.Writer, err error) int {
	code := 0
	printed := map[string]bool{}
	for _, one := range flatten(err) {
		var mistakes *config.Error
		var usage *usageError
		switch {
		case errors.Is(one, errHelp):
			continue
		case errors.Is(one, errSaid):
			code = max(code, 1)
			continue
		case errors.As(one, &mistakes):
			for _, m := range mistakes.Mistakes {
				fmt.Fprintf(stderr, "ticketproxy: %s: %s\nhint: %s\n", m.Variable, m.Problem, m.Cure)
			}
			code = 2
			continue
		case errors.As(one, &usage):
			code = 2
		default:
			code = max(code, 1)
		}
		text := "ticketproxy: " + printable(one.Error()) + "\n"
		if advice := hint.Of(one); advice != "" {
			text += "hint: " + printable(advice) + "\n"
		}
		if !printed[text] {
			io.WriteString(stderr, text)
			printed[text] = true
		}
	}
	return code
}

// flatten returns the errors that errors.Join has put together, whose texts are
// lines of the whole.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var lines []string
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
		lines = append(lines, e.Error())
	}
	if strings.Join(lines, "\n") != err.Error() {
		return []error{err}
	}
	return all
}

// isTerminal reports whether a file is a terminal.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0
}
