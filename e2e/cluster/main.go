// Command cluster is a Kubernetes API server for tests: kube-apiserver and etcd in
// one process, on loopback. It has no nodes, no controllers and no scheduler.
//
//	cluster --dir DIR --port N --etcd-port N [-- FLAG OF KUBE-APISERVER...]
//
// RBAC authorizes requests, ServiceAccount tokens are issued, and Pod Security
// admission is on. Further flags of kube-apiserver follow its own; the last one counts.
//
// It prints the line "ready" on stdout when /readyz answers ok, and its log on stderr.
// It ends with status 0 after SIGTERM. It may also be killed: a start with the same
// directory continues with the data, the CA and the keys. These are in DIR:
//
//	admin.kubeconfig  a user in the group system:masters, in JSON, with the port of this start
//	pki               the CA, the certificates and the keys, in PEM
//	etcd              the data
//
// Without controllers, no ServiceAccount "default" appears in a new namespace, nothing
// is garbage-collected, and a deleted namespace stays in the phase Terminating.
//
// Each user of the machine can read and change the data through etcd's port.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
	_ "time/tzdata" // kube-apiserver has it, to validate CronJobs

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // kube-apiserver registers it
	_ "k8s.io/component-base/metrics/prometheus/version"  // kube-apiserver registers it
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	var c cluster
	flag.StringVar(&c.dir, "dir", "", "directory of the data and the keys, made where it is missing")
	flag.IntVar(&c.port, "port", 0, "loopback port of the API server")
	flag.IntVar(&c.etcdPort, "etcd-port", 0, "loopback port of etcd")
	flag.Parse()
	if c.dir == "" || c.port == 0 || c.etcdPort == 0 {
		fmt.Fprintln(os.Stderr, "cluster: --dir, --port and --etcd-port are required")
		os.Exit(2)
	}
	code, err := c.run(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	os.Exit(code)
}

type cluster struct {
	dir            string
	port, etcdPort int
}

// run returns the status to exit with after SIGTERM, SIGINT or a failure.
func (c cluster) run(extra []string) (int, error) {
	var err error
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return 1, err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return 1, err
	}
	if err := makePKI(c.pki()); err != nil {
		return 1, fmt.Errorf("making certificates: %w", err)
	}
	client, err := c.adminClient()
	if err != nil {
		return 1, err
	}
	etcd, err := c.startEtcd()
	if err != nil {
		return 1, fmt.Errorf("starting etcd: %w", err)
	}
	// etcd waits for other processes that use the directory, so they keep their kubeconfig.
	if err := c.writeKubeconfig(); err != nil {
		return 1, fmt.Errorf("writing the kubeconfig: %w", err)
	}
	go func() {
		if err, failed := <-etcd.Err(); failed {
			fmt.Fprintln(os.Stderr, "cluster: etcd:", err)
			os.Exit(1)
		}
	}()
	go func() {
		c.awaitReady(client)
		fmt.Println("ready")
	}()
	command := app.NewAPIServerCommand() // it handles SIGTERM and SIGINT
	command.SetArgs(append(c.apiServerFlags(), extra...))
	code := cli.Run(command)
	etcd.Close()
	return code, nil
}

func (c cluster) pki() string { return filepath.Join(c.dir, "pki") }

func (c cluster) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

func (c cluster) etcdURL() url.URL {
	return url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.etcdPort))}
}

// startEtcd returns when etcd serves. etcd syncs each write to the disk before it
// answers, as its default is.
func (c cluster) startEtcd() (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(c.dir, "etcd")
	config.LogLevel = "warn"
	// NewConfig leaves it 0, with which etcd logs each request.
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	config.ListenClientUrls = []url.URL{c.etcdURL()}
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ListenPeerUrls = nil // it is the only member
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err := <-etcd.Err():
		return nil, err
	case <-time.After(time.Minute):
		return nil, errors.New("it is not ready after a minute")
	}
}

func (c cluster) apiServerFlags() []string {
	etcd := c.etcdURL()
	pki := func(name string) string { return filepath.Join(c.pki(), name) }
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.port),
		"--tls-cert-file=" + pki(serverCertificate),
		"--tls-private-key-file=" + pki(serverKey),
		"--client-ca-file=" + pki(caCertificate),
		"--etcd-servers=" + etcd.String(),
		"--authorization-mode=RBAC",
		"--enable-admission-plugins=PodSecurity",
		// Without it, kube-apiserver itself refuses each privileged pod.
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + pki(serviceAccountKey),
		"--service-account-signing-key-file=" + pki(serviceAccountKey),
		"--service-cluster-ip-range=10.0.0.0/24",
		// Without it, an open watch delays the end after SIGTERM by up to a minute.
		"--shutdown-watch-termination-grace-period=5s",
		// The Service "kubernetes" gets no endpoints, because endpoints may not be on
		// loopback. Without an address, kube-apiserver looks for one and fails on a
		// machine that has loopback only.
		"--endpoint-reconciler-type=none",
		"--advertise-address=127.0.0.1",
	}
}

func (c cluster) adminClient() (*http.Client, error) {
	ca, err := os.ReadFile(filepath.Join(c.pki(), caCertificate))
	if err != nil {
		return nil, err
	}
	admin, err := tls.LoadX509KeyPair(
		filepath.Join(c.pki(), adminCertificate), filepath.Join(c.pki(), adminKey))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{admin}},
			DisableKeepAlives: true,
		},
	}, nil
}

// awaitReady returns when /readyz answers ok.
func (c cluster) awaitReady(client *http.Client) {
	for ; ; time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequestWithContext(context.Background(),
			http.MethodGet, "https://"+c.address()+"/readyz", nil)
		if err != nil {
			panic(err) // the URL is valid
		}
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
	}
}

// writeKubeconfig writes the administrator's kubeconfig. It is JSON, which is YAML too,
// so a test needs no YAML parser to read it.
func (c cluster) writeKubeconfig() error {
	data := map[string][]byte{}
	for _, name := range []string{caCertificate, adminCertificate, adminKey} {
		content, err := os.ReadFile(filepath.Join(c.pki(), name))
		if err != nil {
			return err
		}
		data[name] = content
	}
	type object = map[string]any
	const name, user = "cluster", "admin"
	kubeconfig, err := json.MarshalIndent(object{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []object{{"name": name, "cluster": object{
			"server":                     "https://" + c.address(),
			"certificate-authority-data": data[caCertificate],
		}}},
		"users": []object{{"name": user, "user": object{
			"client-certificate-data": data[adminCertificate],
			"client-key-data":         data[adminKey],
		}}},
		"contexts":        []object{{"name": name, "context": object{"cluster": name, "user": user}}},
		"current-context": name,
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, "admin.kubeconfig")
	if err := os.WriteFile(path+".new", append(kubeconfig, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
