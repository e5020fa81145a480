package e2e

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// A front is an instance of the program before an API of the test's own.
type front struct {
	*proxy
	address string // where apps reach the API
}

// startFront starts an instance. The API shares the account of the sandbox's
// Ticketpark, whose first token is there when it returns.
func startFront(t *testing.T, origin string, more ...string) *front {
	t.Helper()
	const account = "ticketpark"
	providers := map[string]*provider{account: startSandbox(t, time.Hour)[account]}
	f := &front{address: freeAddress(t)}
	f.proxy = newProxy(t, t.TempDir(), providers, append([]string{
		"TICKETPROXY_UPSTREAMS=" + account + ",own",
		"TICKETPROXY_OWN_ACCOUNT=" + account,
		"TICKETPROXY_OWN_UPSTREAM_URL=" + origin,
		"TICKETPROXY_OWN_LISTEN=" + f.address,
	}, more...)...)
	f.start()
	f.awaitAllUsable(30 * time.Second)
	return f
}

// serveAPI serves an API until the test ends, and returns its origin.
func serveAPI(t *testing.T, api http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api}
	served := make(chan struct{})
	go func() {
		server.Serve(l)
		close(served)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return "http://" + l.Addr().String()
}
