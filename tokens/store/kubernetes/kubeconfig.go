package kubernetes

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"ticketproxy/hint"
	"ticketproxy/loopback"
)

// A kubeconfig is what is read of a kubeconfig file (kubernetes.io, "Organizing Cluster
// Access Using kubeconfig Files").
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string
		Context kubeContext
	}
	Clusters []struct {
		Name    string
		Cluster kubeCluster
	}
	Users []struct {
		Name string
		User kubeUser
	}
}

type kubeContext struct {
	Cluster, User, Namespace string
}

type kubeCluster struct {
	Server        string
	ServerName    string `yaml:"tls-server-name"`
	Insecure      bool   `yaml:"insecure-skip-tls-verify"`
	Authority     string `yaml:"certificate-authority"`
	AuthorityData string `yaml:"certificate-authority-data"`
	ProxyURL      string `yaml:"proxy-url"`
}

type kubeUser struct {
	Token           string
	TokenFile       string `yaml:"tokenFile"`
	Username        string
	Password        string
	Certificate     string         `yaml:"client-certificate"`
	CertificateData string         `yaml:"client-certificate-data"`
	Key             string         `yaml:"client-key"`
	KeyData         string         `yaml:"client-key-data"`
	Exec            *kubeExec      `yaml:"exec"`
	AuthProvider    map[string]any `yaml:"auth-provider"`
	Impersonate     string         `yaml:"as"`
}

// readKubeconfig returns the client of the current context. Files are merged: what comes
// first under a name counts. Those that do not exist are skipped if another one does.
func readKubeconfig(paths []string) (*client, error) {
	var current string
	contexts, clusters, users := map[string]kubeContext{}, map[string]kubeCluster{}, map[string]kubeUser{}
	missing := errors.New("no file is named")
	read := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			missing = err
			continue
		}
		if err != nil {
			return nil, err
		}
		var file kubeconfig
		if err := yaml.Unmarshal(data, &file); err != nil {
			return nil, fmt.Errorf("%s is not a kubeconfig", path) // the error could quote a secret
		}
		read++
		// A command ./PROGRAM must keep a directory, or else it is looked for in PATH.
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		if current == "" {
			current = file.CurrentContext
		}
		for _, c := range file.Contexts {
			first(contexts, c.Name, c.Context)
		}
		for _, c := range file.Clusters {
			beside(dir, &c.Cluster.Authority)
			first(clusters, c.Name, c.Cluster)
		}
		for _, u := range file.Users {
			beside(dir, &u.User.TokenFile, &u.User.Certificate, &u.User.Key)
			if u.User.Exec != nil {
				u.User.Exec.dir = dir
			}
			first(users, u.Name, u.User)
		}
	}
	if read == 0 {
		return nil, missing
	}
	chosen, ok := contexts[current]
	if !ok {
		return nil, fmt.Errorf("there is no context %q, which current-context names", current)
	}
	cluster, ok := clusters[chosen.Cluster]
	if !ok {
		return nil, fmt.Errorf("there is no cluster %q, which context %q names", chosen.Cluster, current)
	}
	c, err := connect(cluster, users[chosen.User])
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", current, err)
	}
	c.namespace = chosen.Namespace
	if c.namespace == "" {
		c.namespace = "default"
	}
	return c, nil
}

// first keeps the first value of a name.
func first[T any](all map[string]T, name string, value T) {
	if _, ok := all[name]; !ok {
		all[name] = value
	}
}

// beside makes relative paths those of a kubeconfig's directory.
func beside(dir string, paths ...*string) {
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// serverURL returns the API server's URL. One without TLS must be on loopback.
func (c kubeCluster) serverURL() (*url.URL, error) {
	server, err := url.Parse(c.Server)
	if err != nil || server.Host == "" || server.Scheme != "https" && server.Scheme != "http" {
		return nil, errors.New("its cluster's server is no URL")
	}
	if server.Scheme == "http" && !loopback.Is(server.Hostname()) {
		return nil, errors.New("its cluster's server has no TLS, and refresh tokens go there")
	}
	server.Path = strings.TrimSuffix(server.Path, "/")
	return server, nil
}

// connect returns the client of a cluster and a user.
func connect(cluster kubeCluster, user kubeUser) (*client, error) {
	server, err := cluster.serverURL()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{ServerName: cluster.ServerName, InsecureSkipVerify: cluster.Insecure}
	authority, err := dataOrFile(cluster.AuthorityData, cluster.Authority)
	if err != nil {
		return nil, fmt.Errorf("its certificate authority: %w", err)
	}
	if authority != nil {
		if config.RootCAs, err = certPool(authority); err != nil {
			return nil, err
		}
	}
	proxy := http.ProxyFromEnvironment
	if cluster.ProxyURL != "" {
		through, err := url.Parse(cluster.ProxyURL)
		if err != nil || through.Host == "" {
			return nil, errors.New("its proxy-url is no URL")
		}
		proxy = http.ProxyURL(through)
	}
	c := &client{server: server, authorize: func(context.Context, *http.Request) error { return nil }}
	switch {
	case user.AuthProvider != nil:
		return nil, errors.New("its user has an auth-provider, which Kubernetes has no more; use an exec plugin")
	case user.Impersonate != "":
		return nil, errors.New("its user impersonates another, which is not supported here")
	case user.Exec != nil:
		plugin := &execPlugin{kubeExec: *user.Exec}
		config.GetClientCertificate = plugin.certificate
		c.authorize = plugin.authorize
	case user.TokenFile != "":
		c.authorize = bearerFile(user.TokenFile, "see what writes the tokenFile of the kubeconfig's user")
	case user.Token != "":
		if err := checkToken(user.Token); err != nil {
			return nil, fmt.Errorf("its user's token %w", err)
		}
		c.authorize = func(_ context.Context, req *http.Request) error {
			req.Header.Set("Authorization", "Bearer "+user.Token)
			return nil
		}
	case user.Username != "":
		c.authorize = func(_ context.Context, req *http.Request) error {
			req.SetBasicAuth(user.Username, user.Password)
			return nil
		}
	}
	if user.Certificate != "" || user.CertificateData != "" {
		config.GetClientCertificate = user.certificate
	}
	c.transport = newTransport(config, proxy)
	return c, nil
}

// certificate reads the user's client certificate again for each connection.
func (u kubeUser) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := u.keyPair()
	if err != nil {
		return nil, hint.With(err, "see client-certificate and client-key of the kubeconfig's user")
	}
	return pair, nil
}

func (u kubeUser) keyPair() (*tls.Certificate, error) {
	cert, err := dataOrFile(u.CertificateData, u.Certificate)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := dataOrFile(u.KeyData, u.Key)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New("client certificate and key are no pair")
	}
	return &pair, nil
}

// dataOrFile returns base64 data, or else a file's content; nil without either.
func dataOrFile(data, path string) ([]byte, error) {
	if data != "" {
		decoded, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, errors.New("is not base64")
		}
		return decoded, nil
	}
	if path == "" {
		return nil, nil
	}
	return os.ReadFile(path)
}
