package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"ticketproxy/hint"
	"ticketproxy/loopback"
	"ticketproxy/sandbox"
)

// sandboxEnv prints the variables for one vendor of a running sandbox, as lines for eval. The
// seed among them is new. The state is the sandbox's own, so that no grant of a real account
// is replaced. What another vendor's lines have set is unset.
func sandboxEnv(ctx context.Context, env *Env, args []string) error {
	flags := flag.NewFlagSet("sandbox env", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	listen := flags.String("listen", sandboxListen, "`address` of the running sandbox's first vendor")
	vendor := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		vendor, args = args[0], args[1:]
	}
	if err := parseFlags(env, flags, args); err != nil {
		return err
	}
	host, port, err := sandboxAddress(*listen)
	if err != nil {
		return err
	}
	var names []string
	for i, provider := range sandbox.New(sandbox.Options{}).Providers() {
		if provider.Name != vendor {
			names = append(names, provider.Name)
			continue
		}
		origin := "http://" + net.JoinHostPort(host, fmt.Sprint(port+i))
		seed, err := env.sandboxSeed(ctx, origin)
		if err != nil {
			return hint.With(err, "start it with ticketproxy sandbox, or say with --listen where it is")
		}
		lines := settings(provider, origin, seed)
		if dir := env.environment().StateDir; dir != "" {
			lines = append(lines, "TICKETPROXY_STATE=file:"+filepath.Join(dir, "sandbox"))
		}
		fmt.Fprintln(env.Stdout, "unset TICKETPROXY_AUTHORIZE_URL TICKETPROXY_CLIENT_SECRET")
		for _, line := range lines {
			name, value, _ := strings.Cut(line, "=")
			fmt.Fprintf(env.Stdout, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
		return nil
	}
	err = fmt.Errorf("the sandbox has no vendor %q", vendor)
	if vendor == "" {
		err = errors.New("sandbox env needs the name of a vendor")
	}
	return hint.Usage(err, "the vendors are "+strings.Join(names, ", "))
}

// sandboxSeed obtains a new refresh token from a running sandbox.
func (e *Env) sandboxSeed(ctx context.Context, origin string) (string, error) {
	dial := e.Network.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	client := http.Client{
		Transport: &http.Transport{DialContext: loopback.Dial(dial), DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, origin+"/_sandbox/seed", nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking the sandbox at %s: %w", origin, err)
	}
	defer res.Body.Close()
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err == nil && (json.Unmarshal(body, &answer) != nil || answer.RefreshToken == "") {
		err = errors.New("that is no sandbox")
	}
	if err != nil {
		return "", fmt.Errorf("asking the sandbox at %s: %w", origin, err)
	}
	return answer.RefreshToken, nil
}
