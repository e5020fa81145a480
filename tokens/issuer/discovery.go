package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ticketproxy/loopback"
	"ticketproxy/tokens/dialect"
)

// How an issuer's metadata is found
//
// With Config.IssuerURL, the endpoints that the dialect does not have come from the issuer's
// metadata: OpenID Connect Discovery 1.0, section 4, or else RFC 8414, section 3. They are
// looked up before the first token request, and again after one that could not be sent or
// that no token endpoint seems to have answered. A look-up that fails is a token request
// that was not sent, so nothing is spent, and the refresh protocol tries again.

// metadata is what is read of the document (RFC 8414, section 2).
type metadata struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"` // RFC 8628, section 4
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
}

// Discover looks the issuer's metadata up, if there is an IssuerURL and that was not done
// before. The error says what is wrong with the metadata, and quotes nothing of it.
func (c *Client) Discover(ctx context.Context) error {
	_, err := c.discover(ctx)
	return err
}

// discover returns the dialect with the endpoints that are in use.
func (c *Client) discover(ctx context.Context) (dialect.Dialect, error) {
	if c.config.IssuerURL == "" {
		return c.config.Dialect, nil
	}
	if d := c.resolved.Load(); d != nil {
		return *d, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	m, err := c.metadata(ctx)
	if err != nil {
		return c.config.Dialect, fmt.Errorf("looking up the issuer's endpoints: %w", err)
	}
	d := c.withMetadata(m)
	c.resolved.Store(&d)
	return d, nil
}

// withMetadata returns the dialect with what it lacks. What the user has set stays.
func (c *Client) withMetadata(m metadata) dialect.Dialect {
	d := c.config.Dialect
	if d.TokenURL == "" {
		d.TokenURL = m.TokenEndpoint
	}
	if d.AuthorizeURL == "" {
		d.AuthorizeURL = m.AuthorizationEndpoint
	}
	if d.Allows(dialect.GrantDeviceCode) && safeEndpoint(m.DeviceEndpoint) {
		d.DeviceURL = m.DeviceEndpoint
	}
	d.PKCE = d.PKCE && (m.ChallengeMethods == nil || slices.Contains(m.ChallengeMethods, "S256"))
	if c.config.AnyClientAuth {
		d.ClientAuth = clientAuth(m.AuthMethods, c.config.ClientSecret.IsZero())
	}
	return d
}

// clientAuth chooses how the client authenticates. An issuer that says nothing takes
// client_secret_basic (RFC 8414, section 2).
func clientAuth(methods []string, public bool) dialect.ClientAuth {
	switch {
	case public:
		return dialect.AuthNone
	case methods == nil, slices.Contains(methods, "client_secret_basic"):
		return dialect.AuthBasic
	case slices.Contains(methods, "client_secret_post"):
		return dialect.AuthBody
	}
	return dialect.AuthBasic
}

// metadata reads the first document that is there.
func (c *Client) metadata(ctx context.Context) (m metadata, err error) {
	for _, address := range metadataURLs(c.config.IssuerURL) {
		var absent absentError
		if m, err = c.fetch(ctx, address); !errors.As(err, &absent) {
			break
		}
	}
	return m, err
}

// An absentError says that a server has no metadata at an address.
type absentError string

func (e absentError) Error() string { return string(e) }

// metadataURLs returns where an issuer's metadata may be: at the path of OpenID Connect
// after the issuer's own, and at that of RFC 8414, section 3.1, before it.
func metadataURLs(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	return []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}
}

// fetch reads a metadata document. It follows one redirect within the origin, which some
// servers make to add a slash. The request holds no secret.
func (c *Client) fetch(ctx context.Context, address string) (metadata, error) {
	a := attempt{dialect: c.config.Dialect}
	req, resp, err := c.get(ctx, address)
	if err == nil && resp.StatusCode/100 == 3 {
		next, locationErr := resp.Location()
		if locationErr == nil && next.Scheme == req.URL.Scheme && next.Host == req.URL.Host {
			resp.Body.Close()
			req, resp, err = c.get(ctx, next.String())
		}
	}
	if err != nil {
		return metadata{}, a.describe(err, "metadata")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return metadata{}, absentError(fmt.Sprintf("%s answered %d", req.URL.Host, resp.StatusCode))
	}
	text, err := readText(resp)
	if err != nil {
		return metadata{}, a.describe(err, "metadata")
	}
	var m metadata
	if json.Unmarshal(text, &m) != nil {
		return metadata{}, errors.New("the issuer's metadata is not a JSON object of the expected form")
	}
	return m, m.check(c.config.IssuerURL)
}

// get asks for a metadata document.
func (c *Client) get(ctx context.Context, address string) (*http.Request, *http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, errTokenURL
	}
	req.Close = true
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "ticketproxy")
	resp, err := c.config.Transport.RoundTrip(req)
	return req, resp, err
}

// check refuses metadata of another issuer (RFC 8414, section 3.3), and endpoints to which
// secrets must not go.
func (m metadata) check(issuer string) error {
	if strings.TrimSuffix(m.Issuer, "/") != strings.TrimSuffix(issuer, "/") {
		return errors.New("the issuer's metadata names another issuer than ISSUER_URL")
	}
	if !safeEndpoint(m.TokenEndpoint) || m.AuthorizationEndpoint != "" && !safeEndpoint(m.AuthorizationEndpoint) {
		return errors.New("the issuer's metadata has an endpoint without TLS, or none")
	}
	return nil
}

// safeEndpoint reports whether a URL is https, or http on loopback.
func safeEndpoint(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback.Is(u.Hostname())
}

// forget has the next token request look the metadata up again.
func (c *Client) forget() { c.resolved.Store(nil) }
