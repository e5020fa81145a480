package e2e

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// A guardian is an instance of the program before an API of the test's own.
type guardian struct {
	*proxy
	account string
	address string // where apps reach the API
}

// newGuardian returns an instance that is not started. The API shares the account
// of the sandbox's Ticketpark.
func newGuardian(t *testing.T, origin string, accessLifetime time.Duration) *guardian {
	t.Helper()
	const account = "ticketpark"
	providers := map[string]*provider{account: startSandbox(t, accessLifetime)[account]}
	f := &guardian{account: account, address: freeAddress(t)}
	f.proxy = newProxy(t, t.TempDir(), providers,
		"TICKETPROXY_UPSTREAMS="+account+",own",
		"TICKETPROXY_OWN_ACCOUNT="+account,
		"TICKETPROXY_OWN_UPSTREAM_URL="+origin,
		"TICKETPROXY_OWN_LISTEN="+f.address)
	return f
}

// startGuardian starts an instance, which has a token for an hour when it returns.
func startGuardian(t *testing.T, origin string) *guardian {
	t.Helper()
	f := newGuardian(t, origin, time.Hour)
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
