package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ticketproxy/hint"
)

// serviceAccountDir is where the kubelet puts a pod's ServiceAccount.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// newClient finds the API server as kubectl and client-go do: by KUBECONFIG if it is set, as
// a pod's ServiceAccount, or by ~/.kube/config. getenv looks up the environment. The error
// may have a hint.
func newClient(getenv func(string) string) (*client, error) {
	files := filepath.SplitList(getenv("KUBECONFIG"))
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if len(files) == 0 && host != "" && port != "" {
		return inCluster(host, port, serviceAccountDir)
	}
	if len(files) == 0 && getenv("HOME") != "" {
		files = []string{filepath.Join(getenv("HOME"), ".kube", "config")}
	}
	c, err := readKubeconfig(files)
	if err != nil {
		return nil, hint.With(
			fmt.Errorf("reading the kubeconfig: %w", err),
			"run in a pod with a ServiceAccount token, or name a kubeconfig by KUBECONFIG; kubectl config view shows it",
		)
	}
	return c, nil
}

// inCluster is the client of a pod whose ServiceAccount is in a directory.
func inCluster(host, port, dir string) (*client, error) {
	const advice = "see that the pod has a ServiceAccount, and automountServiceAccountToken is not false"
	namespace, err := os.ReadFile(filepath.Join(dir, "namespace"))
	if err != nil {
		return nil, hint.With(fmt.Errorf("reading the pod's ServiceAccount: %w", err), advice)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, hint.With(fmt.Errorf("reading the pod's ServiceAccount: %w", err), advice)
	}
	roots, err := certPool(ca)
	if err != nil {
		return nil, fmt.Errorf("reading the pod's ServiceAccount: %w", err)
	}
	tokenFile := filepath.Join(dir, "token")
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, hint.With(fmt.Errorf("reading the pod's ServiceAccount: %w", err), advice)
	}
	if err := checkToken(strings.TrimSpace(string(token))); err != nil {
		return nil, hint.With(fmt.Errorf("the pod's ServiceAccount: %s %w", tokenFile, err), advice)
	}
	return &client{
		server:    &url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)},
		namespace: strings.TrimSpace(string(namespace)),
		pod:       podOf(string(token)),
		transport: newTransport(&tls.Config{RootCAs: roots}, nil),
		authorize: bearerFile(tokenFile, advice),
	}, nil
}

// newTransport makes a connection for each request. A state is asked a few times an hour,
// and a connection that was closed while idle would leave the outcome of a write open.
func newTransport(config *tls.Config, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	config.MinVersion = tls.VersionTLS12
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: requestTimeout,
		DisableKeepAlives:     true,
		Protocols:             &protocols,
	}
}

// bearerFile reads a token from a file for each request: the kubelet replaces it. advice is
// the hint of its errors.
func bearerFile(path, advice string) func(context.Context, *http.Request) error {
	return func(_ context.Context, req *http.Request) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return hint.With(fmt.Errorf("reading the token file: %w", err), advice)
		}
		token := strings.TrimSpace(string(data))
		if err := checkToken(token); err != nil {
			return hint.With(fmt.Errorf("the token file %s %w", path, err), advice)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// checkToken returns an error for what is no bearer token, to be read after what it is in.
// Without it, an empty one would make the request an anonymous one.
func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("is empty")
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return errors.New("has a line break, a space or another character that no token has")
	}
	return nil
}

func certPool(pem []byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the certificate authority is no PEM certificate")
	}
	return roots, nil
}
