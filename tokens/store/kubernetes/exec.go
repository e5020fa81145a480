package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ticketproxy/hint"
)

// A kubeExec names a program that prints credentials (kubernetes.io, "client-go credential
// plugins"), as those of clouds do.
type kubeExec struct {
	APIVersion  string `yaml:"apiVersion"`
	Command     string
	Args        []string
	InstallHint string `yaml:"installHint"`
	Env         []struct {
		Name, Value string
	}

	dir string // of the kubeconfig
}

// execTimeout bounds a run of the program, which may ask a server.
const execTimeout = 30 * time.Second

// An execPlugin runs the program, and keeps its credential until that expires. Safe for
// concurrent use.
type execPlugin struct {
	kubeExec

	mu         sync.Mutex
	credential execCredential
}

// An execCredential is the status of an ExecCredential.
type execCredential struct {
	Expiry      time.Time `json:"expirationTimestamp"`
	Token       string    `json:"token"`
	Certificate string    `json:"clientCertificateData"`
	Key         string    `json:"clientKeyData"`
}

func (e *execPlugin) authorize(ctx context.Context, req *http.Request) error {
	credential, err := e.current(ctx)
	if err == nil && credential.Token != "" {
		req.Header.Set("Authorization", "Bearer "+credential.Token)
	}
	return err
}

func (e *execPlugin) certificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	credential, err := e.current(info.Context())
	if err != nil || credential.Certificate == "" {
		return new(tls.Certificate), err
	}
	pair, err := tls.X509KeyPair([]byte(credential.Certificate), []byte(credential.Key))
	if err != nil {
		return nil, fmt.Errorf("the certificate of %s is of no use", e.Command)
	}
	return &pair, nil
}

// current returns a credential that is valid for some seconds more. One that does not expire
// is asked for once.
func (e *execPlugin) current(ctx context.Context) (execCredential, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.credential.Token != "" || e.credential.Certificate != ""
	if known && (e.credential.Expiry.IsZero() || time.Until(e.credential.Expiry) > 10*time.Second) {
		return e.credential, nil
	}
	credential, err := e.run(ctx)
	if err == nil {
		e.credential = credential
	}
	return credential, err
}

func (e *execPlugin) run(ctx context.Context) (execCredential, error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	path := e.Command
	if strings.ContainsRune(path, filepath.Separator) && !filepath.IsAbs(path) {
		path = filepath.Join(e.dir, path)
	}
	cmd := exec.CommandContext(ctx, path, e.Args...)
	cmd.WaitDelay = time.Second
	// The program gets none of our own variables, which hold secrets.
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "TICKETPROXY_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	for _, v := range e.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	info := map[string]any{
		"apiVersion": e.APIVersion, "kind": "ExecCredential", "spec": map[string]any{"interactive": false},
	}
	request, err := json.Marshal(info)
	if err != nil {
		return execCredential{}, err
	}
	cmd.Env = append(cmd.Env, "KUBERNETES_EXEC_INFO="+string(request))
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		err = fmt.Errorf("running %s for a credential: %w", e.Command, err)
		return execCredential{}, hint.With(err, e.advice(ctx, err))
	}
	var answer struct {
		Kind   string         `json:"kind"`
		Status execCredential `json:"status"`
	}
	if json.Unmarshal(stdout.Bytes(), &answer) != nil || answer.Kind != "ExecCredential" ||
		answer.Status.Token == "" && answer.Status.Certificate == "" {
		return execCredential{}, hint.With(
			fmt.Errorf("%s printed no ExecCredential", e.Command),
			"run "+e.Command+" by hand, with the args and env of the kubeconfig's exec",
		)
	}
	if token := answer.Status.Token; token != "" {
		if err := checkToken(token); err != nil {
			return execCredential{}, fmt.Errorf("the token that %s printed %w", e.Command, err)
		}
	}
	return answer.Status, nil
}

// advice says what helps when the program cannot be run, fails, or does not end.
func (e *execPlugin) advice(ctx context.Context, err error) string {
	byHand := fmt.Sprintf("run %s by hand, with the args and env of the kubeconfig's exec", e.Command)
	switch {
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		if text := strings.TrimSpace(e.InstallHint); text != "" {
			return text
		}
		return fmt.Sprintf("install %s, which the kubeconfig's exec names, where this program finds it", e.Command)
	case errors.Is(err, fs.ErrPermission):
		return "make it executable: chmod +x " + e.Command
	case ctx.Err() != nil:
		return byHand + ": it must end within 10 s, and ask nothing"
	}
	return byHand + "; what it says here is on stderr"
}
