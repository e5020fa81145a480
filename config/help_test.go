package config_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"ticketproxy/config"
)

// The documented variables, in order.
const (
	ofAnUpstream = "PROVIDER CLIENT_ID CLIENT_SECRET REFRESH_TOKEN UPSTREAM_URL ISSUER_URL TOKEN_URL AUTHORIZE_URL LISTEN SOCKET_MODE HOST PREFIX ACCOUNT CLIENT_AUTH TOKEN_ENCODING ROTATION GRANT SCOPE TOKEN_PARAMS TOKEN_HEADERS REFRESH_TOKEN_LIFETIME TIMEOUT REWRITE_LOCATION REFUSED_STATUS COOKIES CA_FILE"
	ofTheProgram = "UPSTREAMS STATE STATE_KEY_FILE STATE_RECIPIENT ROLE CALLERS_FILE TOKEN_LISTEN ADMIN_LISTEN ADMIN_QUIT ALLOWED_HOSTS ALLOWED_ORIGINS ALLOW_UNAUTHENTICATED TLS_CERT_FILE TLS_KEY_FILE TLS_CLIENT_CA_FILE AUDIT_LOG AUDIT_REQUIRED LOG_LEVEL LOG_FORMAT DRAIN_DELAY DRAIN_TIMEOUT"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	var upstream, program, files []string
	for _, v := range config.Variables() {
		key, ok := strings.CutPrefix(v.Name, config.Prefix)
		if !ok || v.Meaning == "" || v.Default == "" {
			t.Errorf("variable %+v is not described", v)
		}
		if v.PerUpstream {
			upstream = append(upstream, key)
		} else {
			program = append(program, key)
		}
		if v.File != "" {
			files = append(files, strings.TrimPrefix(v.File, config.Prefix))
		}
	}
	equal(t, "variables of an upstream", strings.Join(upstream, " "), ofAnUpstream)
	equal(t, "variables of the program", strings.Join(program, " "), ofTheProgram)
	equal(t, "variables that name files", strings.Join(files, " "), "CLIENT_SECRET_FILE REFRESH_TOKEN_FILE TOKEN_PARAMS_FILE TOKEN_HEADERS_FILE STATE_FILE")
}

func TestDocumentedDefaults(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"PROVIDER": "required", "LISTEN": "127.0.0.1:8080", "PREFIX": "/", "ACCOUNT": "itself", "TIMEOUT": "60s",
		"TOKEN_LISTEN": "off", "ADMIN_LISTEN": "127.0.0.1:9090", "LOG_LEVEL": "info", "DRAIN_DELAY": "0s", "DRAIN_TIMEOUT": "25s",
	}
	for _, v := range config.Variables() {
		if fallback, ok := want[strings.TrimPrefix(v.Name, config.Prefix)]; ok {
			equal(t, "default of "+v.Name, v.Default, fallback)
		}
	}
}

func TestHelpNamesEveryVariable(t *testing.T) {
	t.Parallel()
	var help strings.Builder
	if err := config.Help(&help); err != nil {
		t.Fatal(err)
	}
	for _, v := range config.Variables() {
		if !strings.Contains(help.String(), "\n  "+v.Name) || !strings.Contains(help.String(), v.Meaning) {
			t.Errorf("help does not describe %s", v.Name)
		}
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestHelpToAClosedPipe(t *testing.T) {
	t.Parallel()
	if err := config.Help(closed{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Help = %v, want the writer's error", err)
	}
}
