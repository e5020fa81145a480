package issuer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"ticketproxy/egress"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// A token request that the egress proxy refuses was not sent. The error names the proxy,
// without its credentials.
func TestEgressProxyIsNamed(t *testing.T) {
	t.Parallel()
	at, _ := listen(t, func(c net.Conn) {
		readRequest(c)
		io.WriteString(c, "HTTP/1.1 407 "+password+"\r\n\r\n")
	})
	through := &url.URL{Scheme: "http", Host: at, User: url.UserPassword("me", password)}
	c := config(lookup(t, "generic"), "https://issuer.test")
	c.Transport = issuer.Transport(nil, func(*http.Request) (*url.URL, error) { return through, nil }, nil)
	_, err := issuer.New(c).Refresh(context.Background(), secret.New(refreshToken))
	e := failure(t, err)
	if e.Class != tokens.NotSent || e.Error() != "the egress proxy "+at+" asks for a user name and password (407)" {
		t.Errorf("%v: %v", e.Class, e)
	}
	var out *egress.Error
	if !errors.As(err, &out) || out.Hint() == "" {
		t.Errorf("%v has no hint", err)
	}
}
