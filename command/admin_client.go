package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/loopback"
)

// An adminClient sends requests to the admin listener of a running instance.
type adminClient struct {
	address string
	client  *http.Client
}

// adminClient returns the client for the instance at the environment's ADMIN_LISTEN.
func (e *Env) adminClient() (*adminClient, error) {
	address, err := config.ParseAdminListen(e.environment())
	if err != nil {
		return nil, err
	}
	if address == "" {
		return nil, hint.Usage(
			errors.New("the admin listener is off"),
			"set TICKETPROXY_ADMIN_LISTEN to the running instance's",
		)
	}
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		address = net.JoinHostPort("127.0.0.1", port) // an image from scratch has no /etc/hosts
		if ip.To4() == nil {
			address = net.JoinHostPort("::1", port)
		}
	}
	dial := e.Network.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{DialContext: loopback.Dial(dial), DisableKeepAlives: true}
	return &adminClient{address, &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// ask sends one request. An error to reach the instance has a hint.
func (a *adminClient) ask(ctx context.Context, method, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return 0, nil, hint.With(fmt.Errorf("asking the instance at %s: %w", a.address, err),
			"start it with ticketproxy serve, or set TICKETPROXY_ADMIN_LISTEN to its admin listener")
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, body, err
}
