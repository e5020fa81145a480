package command

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"ticketproxy/hint"
	"ticketproxy/secret"
)

// This file reads what the flags of the verb token name: a URL, a key and certificates.

// instanceURL checks --url, and returns it without a slash at its end. The error does not quote
// it, because a key may stand in it.
func instanceURL(text string) (string, error) {
	const advice = "write it like https://tickets.example.com:8090; the path is added"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", hint.Usage(errors.New("--url is not the URL of an instance"), advice)
	case u.User != nil:
		return "", hint.Usage(errors.New("--url has a user name or a key"), "put the key into a file, and give --key-file")
	case strings.Trim(u.Path, "/") != "" || strings.ContainsAny(text, "?#"):
		return "", hint.Usage(errors.New("--url has a path, a query or a fragment"), advice)
	}
	return u.Scheme + "://" + u.Host, nil
}

// authorities returns the certificates of --ca-file beside those of the system; nil for those of
// the system alone.
func authorities(o tokenOptions, instance string) (*x509.CertPool, error) {
	if o.caFile == "" {
		return nil, nil
	}
	if !strings.HasPrefix(instance, "https://") {
		return nil, hint.Usage(errors.New("--ca-file is never used, since there is no --url that begins with https://"),
			"remove it, or give --url")
	}
	content, err := os.ReadFile(o.caFile)
	if err != nil {
		return nil, hint.With(fmt.Errorf("reading --ca-file: %w", err), "name a readable PEM bundle")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(content) {
		return nil, hint.With(errors.New("--ca-file names a file without any certificate"),
			`give a PEM bundle, with "BEGIN CERTIFICATE" lines`)
	}
	return roots, nil
}

// proofOf reads the file of --key-file: a caller's key, or a token of an issuer.
func proofOf(path string) (secret.String, error) {
	if path == "" {
		return secret.String{}, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return secret.String{}, hint.With(fmt.Errorf("reading --key-file: %w", err),
			"name a file that holds the key and nothing else")
	}
	text := strings.TrimSpace(string(content))
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret.String{}, hint.With(errors.New("--key-file names a file that holds no key"),
			"it holds what ticketproxy key NAME printed, or a token, and nothing else")
	}
	return secret.New(text), nil
}

// unreachedHint returns the hint for an instance that could not be asked.
func unreachedHint(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "give --ca-file FILE, with the authority of its certificate, and the name in --url that the certificate has"
	}
	return hintForAddress
}
