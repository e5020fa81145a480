package e2e

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// An apiFixture is an instance of the program in front of a test's own API.
type apiFixture struct {
	*proxy
	account string
	address string // where apps reach the API
}

// newAPIFixture returns an instance that is not started. The API uses the account of
// the sandbox's Ticketpark.
func newAPIFixture(t *testing.T, origin string, accessLifetime time.Duration) *apiFixture {
	t.Helper()
	const account = "ticketpark"
	providers := map[string]*provider{account: startSandbox(t, accessLifetime)[account]}
	f := &apiFixture{account: account, address: freeAddress(t)}
	f.proxy = newProxy(t, t.TempDir(), providers,
		"TICKETPROXY_UPSTREAMS="+account+",own",
		"TICKETPROXY_OWN_ACCOUNT="+account,
		"TICKETPROXY_OWN_UPSTREAM_URL="+origin,
		"TICKETPROXY_OWN_LISTEN="+f.address)
	return f
}

// startAPIFixture starts an instance and waits until it has a token for an hour.
func startAPIFixture(t *testing.T, origin string) *apiFixture {
	t.Helper()
	f := newAPIFixture(t, origin, time.Hour)
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
