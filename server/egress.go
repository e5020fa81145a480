package server

import (
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"

	"ticketproxy/config"
)

// egressProxy returns which of the proxies that the user named a request goes through;
// nil when there is none.
func egressProxy(c config.Egress) func(*http.Request) (*url.URL, error) {
	if c.HTTPProxy.IsZero() && c.HTTPSProxy.IsZero() {
		return nil
	}
	find := (&httpproxy.Config{
		HTTPProxy:  c.HTTPProxy.Reveal(),
		HTTPSProxy: c.HTTPSProxy.Reveal(),
		NoProxy:    c.NoProxy,
	}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}
