package authn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn/jwks"
)

// An issuer signs tokens of callers.
type issuer struct {
	name      string // in the file
	audiences []string
	// reserved are audiences with which a token is good at the API server or the issuer itself.
	// Such a token is worth more than being our caller, so it must not be sent to us.
	reserved []string
	source   sourceConfig
	keys     *jwks.Source
	callers  []tokenOf
}

// A tokenOf is a caller and which tokens prove it.
type tokenOf struct {
	callers.JWT
	caller inbound.Caller
}

// A sourceConfig is where an issuer's keys are.
type sourceConfig struct{ jwks.Config }

// same reports whether two issuers have the same keys. How requests go out is the same for
// all of a process.
func (s sourceConfig) same(t sourceConfig) bool {
	if (s.Kubernetes == nil) != (t.Kubernetes == nil) || s.Kubernetes != nil && *s.Kubernetes != *t.Kubernetes {
		return false
	}
	return s.Issuer == t.Issuer && s.CAFile == t.CAFile
}

// newIssuer returns an issuer without its keys.
func (c Config) newIssuer(name string, of callers.Issuer) (*issuer, error) {
	i := &issuer{name: name, audiences: of.Audiences}
	i.source.Config = jwks.Config{Issuer: of.URL, CAFile: of.CAFile, Proxy: c.Proxy, Dial: c.Dial}
	if c.Report != nil {
		i.source.Report = func(err error) { c.Report(name, err) }
	}
	if of.Kubernetes {
		if c.Kubernetes == nil {
			return nil, fmt.Errorf("the issuer %s has kubernetes: true, and this is not a pod of a cluster: "+
				"write its url", name)
		}
		own, err := readOwnToken(c.Kubernetes.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("the issuer %s has kubernetes: true: %w", name, err)
		}
		i.source.Issuer, i.source.Kubernetes = own.issuer, c.Kubernetes
		i.reserved = own.audience
	}
	for _, audience := range i.audiences {
		if i.isReserved(audience) {
			return nil, fmt.Errorf("the issuer %s has the audience %q, with which a token is good at the API server: "+
				"choose another, such as ticketproxy", name, audience)
		}
	}
	return i, nil
}

// isReserved reports whether an audience is the API server's or the issuer's own. kube-apiserver
// accepts tokens for its --api-audiences, which are its issuers' URLs by default, and a
// token that is asked for without an audience, as a pod's own is, gets all of them.
func (i *issuer) isReserved(audience string) bool {
	return audience == i.source.Issuer || slices.Contains(i.reserved, audience) ||
		strings.HasPrefix(audience, "https://kubernetes.default") || strings.HasPrefix(audience, "kubernetes.default")
}

// readOwnToken reads the claims of this pod's own token. They are trusted as the file is.
func readOwnToken(path string) (claims, error) {
	const most = 64 << 10
	file, err := os.Open(path)
	if err != nil {
		return claims{}, fmt.Errorf("reading the pod's own token, which names the issuer: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return claims{}, fmt.Errorf("reading the pod's own token, which names the issuer: %w", err)
	}
	token, err := jose.ParseSignedCompact(strings.TrimSpace(string(text)), algorithms())
	if err == nil {
		var own claims
		if own, err = parseClaims(token.UnsafePayloadWithoutVerification()); err == nil && own.issuer != "" {
			return own, nil
		}
	}
	return claims{}, errors.New("the pod's own token in " + path + " is not a token of a ServiceAccount")
}
