package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"ticketproxy/admin"
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
	address = toConnect(address)
	dial := e.Network.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{DialContext: loopback.Dial(dial), DisableKeepAlives: true}
	return &adminClient{address, &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// toConnect returns the address at which this machine reaches a listener: loopback in place of
// the unspecified address.
func toConnect(address string) string {
	host, port, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	switch {
	case err != nil || ip == nil || !ip.IsUnspecified():
		return address
	case ip.To4() == nil:
		return net.JoinHostPort("::1", port)
	}
	return net.JoinHostPort("127.0.0.1", port) // an image from scratch has no /etc/hosts
}

// page returns the address of the instance's status page.
func (a *adminClient) page() string { return "http://" + a.address + "/" }

// status asks for the instance's status. The answer's body is returned, too.
func (a *adminClient) status(ctx context.Context) (admin.Status, []byte, error) {
	var s admin.Status
	code, body, err := a.ask(ctx, http.MethodGet, "/status")
	if err == nil && (code != http.StatusOK || json.Unmarshal(body, &s) != nil) {
		err = fmt.Errorf("asking the instance at %s: it answered %d, which is not a status", a.address, code)
	}
	return s, body, err
}

// ask sends one request. An error to reach the instance has a hint.
func (a *adminClient) ask(ctx context.Context, method, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := a.client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		err = errors.New("nothing listens there, so it is not running")
	case err == nil && res.StatusCode == http.StatusNotFound:
		res.Body.Close()
		err = errors.New("another program listens there: it answered 404")
	}
	if err != nil {
		return 0, nil, hint.With(fmt.Errorf("asking the instance at %s: %w", a.address, err),
			"start it with ticketproxy serve, or set TICKETPROXY_ADMIN_LISTEN to its admin listener")
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, body, err
}
