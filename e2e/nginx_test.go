package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A documentedChange is a difference that the README documents.
type documentedChange struct {
	what   string // kind of difference
	names  string // pattern for the names of the cases that may show it
	detail string // pattern for the detail
	readme string // sentence of the README, or a part of it
}

// documented lists all differences that may and must occur. Everything else must pass
// unchanged.
var documented = []documentedChange{
	{what: "request authorization added", detail: `^\["Bearer `, readme: "`Authorization` is replaced"},
	{what: "request authorization changed", detail: `became \["Bearer \w+"\]$`, readme: "`Authorization` is replaced"},
	{what: "request proxy-authorization dropped", readme: "`Proxy-Authorization` is dropped"},
	{what: "request host changed", readme: "`Host` becomes the API's"},
	{what: "request line", names: `access_token`, detail: `became "GET /a\?page=0&b\[\]=1 HTTP/1.1"`, readme: "but for Ticketpark's `access_token` parameter, which would be a second token"},
	{what: "request line", names: `http://localhost`, detail: `became "GET /a\?b HTTP/1.1"`, readme: "A URL in the request line (`GET http://localhost/a`) goes out as its path"},
	{what: "request line", names: `^HTTP/1.0$`, detail: `became "GET /a HTTP/1.1"`, readme: "Each side speaks HTTP/1.1 on connections of its own"},
	{what: "request cookie dropped", readme: "`Cookie` is dropped"},
	{what: "request forwarded dropped", readme: "`Forwarded`, `X-Forwarded-*` and `X-Real-IP` are dropped"},
	{what: "request x-forwarded-for dropped", readme: "`Forwarded`, `X-Forwarded-*` and `X-Real-IP` are dropped"},
	{what: "request x-forwarded-host dropped", readme: "`Forwarded`, `X-Forwarded-*` and `X-Real-IP` are dropped"},
	{what: "request x-forwarded-proto dropped", readme: "`Forwarded`, `X-Forwarded-*` and `X-Real-IP` are dropped"},
	{what: "request x-real-ip dropped", readme: "`Forwarded`, `X-Forwarded-*` and `X-Real-IP` are dropped"},
	{what: "request x_forwarded_for dropped", readme: "also when they are written with underscores"},
	{what: "request connection dropped", readme: "so are hop-by-hop headers (RFC 9110, section 7.6.1)"},
	{what: "request keep-alive dropped", readme: "so are hop-by-hop headers (RFC 9110, section 7.6.1)"},
	{what: "request proxy-connection dropped", readme: "so are hop-by-hop headers (RFC 9110, section 7.6.1)"},
	{what: "request x-hop dropped", readme: "so are hop-by-hop headers (RFC 9110, section 7.6.1)"},
	{what: "request trailer dropped", readme: "hop-by-hop headers (RFC 9110, section 7.6.1), trailers"},
	{what: "request trailer x-sum dropped", readme: "hop-by-hop headers (RFC 9110, section 7.6.1), trailers"},
	{what: "request upgrade dropped", names: "h2c", readme: "an `Upgrade` to anything but WebSocket"},
	{what: "request http2-settings dropped", names: "h2c", readme: "an `Upgrade` to anything but WebSocket"},
	{what: "request header names in another case", readme: "Header names are spelled as Go spells them (`X-Count`), and sorted"},
	{what: "request headers in another order", readme: "Header names are spelled as Go spells them (`X-Count`), and sorted"},
	{what: "request was sent again", names: "^401$", detail: "^2 times$", readme: "A 401 is not passed on at once: the request is sent once more with another token"},

	{what: "request did not arrive", names: "own OAuth", detail: "200 OK$", readme: "A POST to the provider's token path, in any spelling of the path, is answered here"},
	{what: "request did not arrive", names: "TRACE|CONNECT", detail: "405 .*method_not_allowed$", readme: "| `method_not_allowed` | 405 | `CONNECT` and `TRACE` are not passed on |"},
	{what: "request did not arrive", names: "Host", detail: "421 .*host_not_allowed$", readme: "| `host_not_allowed` | 421 | the `Host` is none of the listener's names |"},
	{what: "request did not arrive", names: "web page", detail: "403 .*cross_site$", readme: "| `cross_site` | 403 | a web page of another origin asked |"},

	{what: "answer keep-alive dropped", readme: "Hop-by-hop headers are dropped, and `Set-Cookie`"},
	{what: "answer connection dropped", readme: "Hop-by-hop headers are dropped, and `Set-Cookie`"},
	{what: "answer x-hop dropped", readme: "Hop-by-hop headers are dropped, and `Set-Cookie`"},
	{what: "answer set-cookie dropped", readme: "and `Set-Cookie`, unless `COOKIES=pass`"},
	{what: "answer content-type dropped", names: "^304$", readme: "`Content-Type` and `Content-Length` of a 304"},
	{what: "answer content-length dropped", names: "^304$", readme: "`Content-Type` and `Content-Length` of a 304"},
	{what: "answer ticketproxy-error dropped", readme: "a `Ticketproxy-Error`, which only our own answers have"},
	{what: "answer location changed", names: "^a redirect to the API$", detail: `became \["http://localhost/b\?c"\]$`, readme: "of a redirect that points to the API's own origin points to us"},
	{what: "answer header names in another case", readme: "Header names are spelled as Go spells them, and sorted"},
	{what: "answer headers in another order", readme: "Header names are spelled as Go spells them, and sorted"},
	{what: "answer line", names: "reason|Odd$", readme: "the reason beside the status is Go's"},
	{what: "answer date added", names: "^an answer without a date$", readme: "an answer without a `Date` gets one"},
	{what: "answer line", names: "^HTTP/1.0$", detail: `became "HTTP/1.0 200 OK"$`, readme: "Each side speaks HTTP/1.1 on connections of its own"},
	{what: "answer connection added", names: "^Connection: close$", detail: `^\["close"\]$`, readme: "an app that asks for `Connection: close` gets that header back"},
	{what: "answer line", names: "^an answer of HTTP/1.0$", detail: `became "HTTP/1.1 200 OK"$`, readme: "Each side speaks HTTP/1.1 on connections of its own"},
	{what: "answer transfer-encoding added", detail: `^\["chunked"\]$`, readme: "an answer that ends with its connection comes chunked"},
}

// TestCompareWithNginx sends the same raw requests to an API directly, through nginx
// and through the program. The README must document every change by the program.
func TestCompareWithNginx(t *testing.T) {
	api := startRawAPI(t)
	f := startAPIFixture(t, "http://"+api.address())
	nginx := startNginx(t, api.address())
	readme := readREADME(t)
	for _, d := range documented {
		if !strings.Contains(readme, d.readme) {
			t.Errorf("%s: the README lacks this sentence: %s", d.what, d.readme)
		}
	}

	var ours, theirs []difference
	all := exchangeCases(api.address())
	for _, c := range all {
		direct := api.exchange(api.address(), c)
		if len(direct.requests) != 1 {
			t.Fatalf("%s: %d requests arrived directly, want 1", c.name, len(direct.requests))
		}
		ours = append(ours, differences(c.name, direct, api.exchange(f.address, c))...)
		if nginx != "" {
			theirs = append(theirs, differences(c.name, direct, api.exchange(nginx, c))...)
		}
	}
	t.Logf("%d requests; differences from direct requests:\n%s", len(all), table(ours, theirs))
	seen, undocumented := make([]bool, len(documented)), map[string]int{}
	for _, d := range ours {
		i := slices.IndexFunc(documented, func(other documentedChange) bool { return other.covers(d) })
		if i >= 0 {
			seen[i] = true
			continue
		}
		if undocumented[d.what]++; undocumented[d.what] <= 3 {
			t.Errorf("undocumented: %s: %s (%s)", d.what, d.detail, d.name)
		}
	}
	for i, d := range documented {
		if !seen[i] {
			t.Errorf("documented, but did not occur: %s %s", d.what, d.names)
		}
	}
}

func (d documentedChange) covers(other difference) bool {
	return d.what == other.what &&
		regexp.MustCompile(d.names).MatchString(other.name) &&
		regexp.MustCompile(d.detail).MatchString(other.detail)
}

// readREADME returns the README with its white space reduced to single spaces.
func readREADME(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// table lists each kind of difference with the number of cases that show it and an
// example.
func table(ours, theirs []difference) string {
	var kinds []string
	for _, d := range append(slices.Clone(ours), theirs...) {
		if !slices.Contains(kinds, d.what) {
			kinds = append(kinds, d.what)
		}
	}
	slices.Sort(kinds)
	var b strings.Builder
	fmt.Fprintf(&b, "%-48s %5s %5s  %s\n", "what", "nginx", "ours", "for example")
	for _, what := range kinds {
		of := func(all []difference) (mine []difference) {
			for _, d := range all {
				if d.what == what {
					mine = append(mine, d)
				}
			}
			return mine
		}
		a, b2 := of(theirs), of(ours)
		example := append(b2, a...)[0]
		fmt.Fprintf(&b, "%-48s %5d %5d  %s: %s\n", what, len(a), len(b2), short(example.name), example.detail)
	}
	return b.String()
}

// startNginx runs nginx in front of an API until the test ends, configured for
// keep-alive as its manual says. It returns nginx's address, or "" if nginx is not installed.
func startNginx(t *testing.T, api string) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			if *complete {
				t.Error("nginx is not installed, and -complete allows no skipped test")
			}
			t.Log("SKIPPED: NGINX IS NOT COMPARED because it is not installed (Debian's package nginx-light)")
			return ""
		}
	}
	dir, address := t.TempDir(), freeAddress(t)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, address, api), 0o600); err != nil {
		t.Fatal(err)
	}
	var output tail
	cmd := exec.Command(path, "-p", dir, "-c", conf, "-e", "stderr")
	cmd.Stderr = &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("end of nginx's stderr:\n%s", output.String())
		}
	})
	await(t, 10*time.Second, "nginx listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address
}

const nginxConf = `daemon off;
master_process off;
error_log stderr error;
pid %[1]s/pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	upstream api {
		server %[3]s;
		keepalive 16;
	}
	server {
		listen %[2]s;
		location / {
			proxy_pass http://api;
			proxy_http_version 1.1;
			proxy_set_header Host $host;
			proxy_set_header Connection "";
		}
	}
}
`
