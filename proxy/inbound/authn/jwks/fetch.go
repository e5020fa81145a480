package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer bounds a document.
const maxAnswer = 1 << 20

// fetch gets the issuer's keys.
func (c Config) fetch(ctx context.Context) (*Set, error) {
	if c.Kubernetes == nil {
		set, err := c.discover(ctx)
		if err != nil {
			return nil, fmt.Errorf("fetching the keys of the issuer %q: %w", c.Issuer, err)
		}
		return set, nil
	}
	set, err := c.clusterKeys(ctx)
	if err == nil {
		return set, nil
	}
	err = fmt.Errorf("fetching the cluster's keys from the API server: %w", err)
	if !c.public() {
		return nil, err
	}
	if set, err2 := c.discover(ctx); err2 == nil {
		return set, nil
	} else {
		return nil, errors.Join(err, fmt.Errorf("fetching them from the issuer %q: %w", c.Issuer, err2))
	}
}

// public reports whether the cluster's issuer may have a discovery document elsewhere than
// at the API server.
func (c Config) public() bool {
	u, err := url.Parse(c.Issuer)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "" &&
		!strings.HasPrefix(u.Hostname(), "kubernetes.default")
}

// discover finds the keys by OpenID Connect Discovery 1.0, section 4. The keys must be at the
// issuer's own origin: a document that names another would have us trust that one, too.
func (c Config) discover(ctx context.Context) (*Set, error) {
	transport, err := c.issuerTransport()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSuffix(c.Issuer, "/") + "/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	data, err := get(ctx, transport, u, "")
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if json.Unmarshal(data, &document) != nil {
		return nil, errors.New("its discovery document is not JSON of the expected form")
	}
	if document.Issuer != c.Issuer {
		return nil, fmt.Errorf("its discovery document is of another issuer: %.200q", document.Issuer)
	}
	keys, err := url.Parse(document.Keys)
	if err != nil || keys.User != nil || origin(keys) != origin(u) {
		return nil, errors.New("its discovery document has a jwks_uri at another origin, which is not trusted")
	}
	data, err = get(ctx, transport, keys, "")
	if err != nil {
		return nil, err
	}
	return parseSet(data)
}

// origin returns scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// get reads a document. It follows no redirect: an answer other than 200 is an error. The
// error has no text of the answer.
func get(ctx context.Context, transport http.RoundTripper, u *url.URL, token string) ([]byte, error) {
	const accept = "application/json, application/jwk-set+json" // kube-apiserver has its keys as the latter alone
	req := (&http.Request{
		Method: http.MethodGet,
		URL:    u,
		Header: http.Header{"Accept": {accept}, "User-Agent": {"ticketproxy"}},
	}).WithContext(ctx)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", u.Host, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s answered %d", u.Host, u.EscapedPath(), res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", u.Host, err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s is longer than 1 MiB", u.Host)
	}
	return data, nil
}
