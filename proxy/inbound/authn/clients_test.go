package authn

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"ticketproxy/proxy/inbound"
)

// TestClients tests that clients of many kinds prove a caller, also those that send nothing
// before a challenge asks for it. A client that is not installed is passed over.
func TestClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	defer f.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := inbound.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, p := f.Authenticate(r)
		if p != nil {
			p.Answer(w)
			return
		}
		io.WriteString(w, c.Name+" by "+c.Proof)
	}), inbound.NewConnLimiter(10, 1<<20, nil), nil)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	plain := "http://" + l.Addr().String() + "/"
	userinfo := (&url.URL{Scheme: "http", Host: l.Addr().String(), User: url.UserPassword("shop", f.key), Path: "/"}).String()
	const python = `import sys, urllib.request as u
m = u.HTTPPasswordMgrWithDefaultRealm()
m.add_password(None, *sys.argv[1:])
print(u.build_opener(u.HTTPBasicAuthHandler(m)).open(sys.argv[1]).read().decode())`
	for _, command := range [][]string{
		{"curl", "-sS", userinfo},
		{"curl", "-sS", "--oauth2-bearer", f.key, plain},
		{"curl", "-sS", "--anyauth", "-u", "shop:" + f.key, plain},
		{"curl", "-sS", "--proxy-header", "X: y", "-H", "Proxy-Authorization: Bearer " + f.key, "-H", "Authorization: Bearer x", plain},
		{"wget", "-qO-", "--user=shop", "--password=" + f.key, plain},
		{"wget", "-qO-", userinfo},
		{"python3", "-c", python, plain, "shop", f.key},
		{"java", "testdata/Ask.java", plain, "shop", f.key},
		{"node", "-e", `require("http").get(process.argv[1], r => r.pipe(process.stdout))`, userinfo},
	} {
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("%s is not installed", command[0])
			continue
		}
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		want := 1
		if command[0] == "java" {
			want = 2
		}
		if strings.Count(string(out), "shop by key") != want {
			t.Errorf("%s: %v\n%s", command[:2], err, out)
		}
	}
	s.Drain(t.Context())
	<-done
}
