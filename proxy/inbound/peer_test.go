package inbound

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
)

// TestPeerUID tests that the peer of a Unix socket is known, and that of TCP is not.
func TestPeerUID(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("peers are known on Linux and macOS")
	}
	for network, address := range map[string]string{"unix": t.TempDir() + "/s", "tcp": "127.0.0.1:0"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			uid, ok := ConnOf(r.Context()).PeerUID()
			fmt.Fprint(w, uid, ok)
		}), NewConnLimiter(100, 1<<20, nil), nil)
		go s.Serve(l)
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial(network, l.Addr().String())
		}}
		res, err := (&http.Client{Transport: transport}).Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		want := "0 false"
		if network == "unix" {
			want = fmt.Sprint(os.Geteuid(), " true")
		}
		if string(text) != want {
			t.Errorf("%s: got %s, want %s", network, text, want)
		}
		transport.CloseIdleConnections()
		s.Drain(t.Context())
	}
	if _, ok := ConnOf(t.Context()).PeerUID(); ok {
		t.Error("a peer of no connection is known")
	}
}

// TestChallenge tests that each challenge has a line of its own.
func TestChallenge(t *testing.T) {
	t.Parallel()
	p := NewProblem(http.StatusUnauthorized, "unauthenticated", "", "")
	p.Challenge = Challenges()
	h := http.Header{}
	p.fill(h)
	if got := h["Www-Authenticate"]; len(got) != 2 || got[0] != `Basic realm="ticketproxy", charset="UTF-8"` {
		t.Errorf("%q", got)
	}
}
