// Command bare is what bench/compare measures the program against: an httputil.ReverseProxy over
// an http.Transport that keeps its connections, with a fixed access token and nothing else.
//
//	bare LISTEN UPSTREAM CA_FILE
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: bare LISTEN UPSTREAM CA_FILE")
	}
	upstream, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("no certificate in %s", args[2])
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", "Bearer bench-access-token")
		},
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			MaxIdleConnsPerHost: 1024,
			DisableCompression:  true,
		},
		BufferPool: new(buffers),
	}
	return http.ListenAndServe(args[0], proxy)
}

// buffers are used again: without that, each answer takes another 32 KB.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.Pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.Pool.Put(&buffer) }
