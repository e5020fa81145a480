package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// BenchmarkProxy sends requests through a bare ReverseProxy and through this
// package, to one API over loopback with the same transport. It measures the app,
// the proxy and the API together.
func BenchmarkProxy(b *testing.B) {
	answer := []byte(strings.Repeat("x", 1024))
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Write(answer)
	})
	ours := func(w *fixture) http.Handler {
		return proxy.NewHandler(proxy.HandlerConfig{Guard: w.guard, Budget: proxy.NewReplayBudget()}, *w.upstream)
	}
	bare := func(w *fixture) http.Handler {
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(w.upstream.URL) }, Transport: w.upstream.Transport}
	}
	for _, proxied := range []struct {
		name    string
		handler func(*fixture) http.Handler
	}{{"bare", bare}, {"ticketproxy", ours}} {
		for _, request := range []struct{ name, method, body string }{{"GET", "GET", ""}, {"POST", "POST", strings.Repeat("y", 1024)}} {
			b.Run(request.name+"/"+proxied.name, func(b *testing.B) {
				w := &fixture{TB: b, front: listen(b), back: listen(b)}
				w.serveAPI(api)
				transport := upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext})
				w.source, w.guard = newSource(), new(inbound.Guard)
				w.upstream = &proxy.UpstreamConfig{Name: "park", URL: parse(b, "http://api.test"), Source: w.source, Transport: transport, Observer: new(nopObserver)}
				w.server = inbound.NewServer(proxied.handler(w), nil, nil)
				w.serve()
				b.Cleanup(transport.CloseIdleConnections)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						req, _ := http.NewRequest(request.method, "http://localhost/events/?page=0", strings.NewReader(request.body))
						res, err := w.app.Do(req)
						if err != nil {
							b.Error(err)
							return
						}
						io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
				})
			})
		}
	}
}

// A nopObserver keeps nothing.
type nopObserver struct{}

func (*nopObserver) Begin(r *http.Request) (context.Context, func(proxy.Exchange)) {
	return r.Context(), func(proxy.Exchange) {}
}

func (*nopObserver) Replayed(context.Context, string) {}
