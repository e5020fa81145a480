package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/loopback"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/secret"
)

// errNotRunning says that nothing listens where tokens are handed out.
var errNotRunning = errors.New("nothing listens there")

const hintForAddress = "see that TICKETPROXY_TOKEN_LISTEN, or --url, is the running instance's"

// tokenTimeout bounds the wait for a token. An instance waits 10 s for a refresh.
const tokenTimeout = 30 * time.Second

// A tokenClient asks a running instance for access tokens.
type tokenClient struct {
	where  string        // as errors name it
	url    string        // without a path
	key    secret.String // proves the caller; zero when there is none
	client *http.Client
}

// tokenClient returns the client for the instance of --url, or at TOKEN_LISTEN; nil where
// there is neither.
func (e *Env) tokenClient(o tokenOptions) (*tokenClient, error) {
	listen, err := config.ParseTokenListen(e.environment())
	if err != nil {
		return nil, err
	}
	c := &tokenClient{where: listen.String(), url: "http://" + toConnect(listen.Address)}
	switch {
	case o.url != "":
		if c.url, err = instanceURL(o.url); err != nil {
			return nil, err
		}
		c.where, listen = c.url, config.Address{}
	case listen.Network == "unix":
		c.url = "http://localhost"
	}
	roots, err := authorities(o, c.url)
	if err != nil {
		return nil, err
	}
	if c.key, err = proofOf(o.keyFile); err != nil {
		return nil, err
	}
	if o.url == "" && !listen.On() {
		return nil, nil
	}
	c.client = e.clientOf(listen, roots)
	return c, nil
}

// clientOf returns a client that sends its requests to an address; to where their URLs lead if
// it is the zero Address.
func (e *Env) clientOf(address config.Address, roots *x509.CertPool) *http.Client {
	dial := e.Network.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	there := loopback.Dial(dial)
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
			if address.Network == "unix" {
				return dial(ctx, "unix", address.Address)
			}
			return there(ctx, network, asked)
		},
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       tokenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// running returns an error that says where nothing runs, if err does not say it.
func (c *tokenClient) running(err error) error {
	if errors.Is(err, errNotRunning) {
		return c.failed(err, hintForAddress)
	}
	return err
}

// ask asks for a token of which at least the given time is left. The error is errNotRunning
// when nothing listens there.
func (c *tokenClient) ask(ctx context.Context, account string, least time.Duration) (tokenendpoint.Answer, error) {
	where := c.url + "/token/" + url.PathEscape(account) + "?min=" + url.QueryEscape(least.String())
	var answer tokenendpoint.Answer
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return answer, err
	}
	req.Header.Set("Ticketproxy-Request", "true")
	if !c.key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	res, err := c.client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return answer, errNotRunning
	}
	if err != nil {
		return answer, c.failed(err, unreachedHint(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return answer, c.failed(err, "run it again")
	}
	if res.StatusCode != http.StatusOK {
		return answer, c.problem(account, res, body)
	}
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" {
		return answer, c.failed(errors.New("its answer is not a token"), hintForAddress)
	}
	return answer, nil
}

// problem returns the error that an answer tells of.
func (c *tokenClient) problem(account string, res *http.Response, body []byte) error {
	var p inbound.Problem
	if code := res.Header.Get(inbound.ErrorHeader); code == "" || json.Unmarshal(body, &p) != nil || p.Code != code {
		return c.failed(fmt.Errorf("it answered %d, and is no token listener", res.StatusCode), hintForAddress)
	}
	advice := ""
	switch p.Code {
	case "login_required":
		advice = "run ticketproxy login " + account
	case "unauthenticated":
		advice = "this instance asks who calls: give --key-file FILE, with a caller's key, or its token of an issuer"
		if !c.key.IsZero() {
			advice = "see that the file of --key-file has a key or a token of a caller in the instance's CALLERS_FILE"
		}
	case "bad_request":
		if res.TLS == nil {
			advice = "if the instance speaks TLS, give --url https://HOST:PORT, with a name of its certificate"
		}
	case "token_unavailable":
		advice = "ticketproxy status tells more"
	}
	return c.failed(errors.New(printable(p.Detail)), advice)
}

func (c *tokenClient) failed(err error, advice string) error {
	err = fmt.Errorf("asking the instance at %s for a token: %w", c.where, err)
	if advice == "" {
		return err
	}
	return hint.With(err, advice)
}
