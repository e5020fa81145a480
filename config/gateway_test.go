package config_test

import (
	"strings"
	"testing"

	"ticketproxy/config"
)

func callersFile() testFiles {
	return testFiles{"/callers.yaml": `callers: {shop: {uid: 1000, may: [{upstream: "*"}]}}`}
}

func TestWrongGateways(t *testing.T) {
	t.Parallel()
	remote := func(lines ...string) []string {
		return park(append([]string{"LISTEN=0.0.0.0:8080", "CALLERS_FILE=/callers.yaml"}, lines...)...)
	}
	for name, tt := range map[string]struct {
		vars                    []string
		variable, problem, hint string
	}{
		"no callers":            {park("LISTEN=0.0.0.0:8080"), "LISTEN", "off loopback", "TICKETPROXY_CALLERS_FILE"},
		"tokens for all":        {park("TOKEN_LISTEN=0.0.0.0:8081"), "TOKEN_LISTEN", "gets access tokens", "TICKETPROXY_CALLERS_FILE"},
		"tokens, said twice":    {park("TOKEN_LISTEN=0.0.0.0:8081", "ALLOW_UNAUTHENTICATED=true"), "TOKEN_LISTEN", "gets access tokens", "127.0.0.1"},
		"tokens at an app's":    {park("TOKEN_LISTEN=127.0.0.1:8080"), "TOKEN_LISTEN", "taken by TICKETPROXY_LISTEN", "another address"},
		"tokens at the admin's": {park("TOKEN_LISTEN=localhost:9090"), "TOKEN_LISTEN", "taken by TICKETPROXY_ADMIN_LISTEN", "another port"},
		"no address":            {park("TOKEN_LISTEN=on"), "TOKEN_LISTEN", "not host:port", "127.0.0.1:8080"},
		"key alone":             {remote("TLS_KEY_FILE=/key"), "TLS_CERT_FILE", "required beside TLS_KEY_FILE", "certificate"},
		"certificate alone":     {remote("TLS_CERT_FILE=/cert"), "TLS_KEY_FILE", "required beside TLS_CERT_FILE", "private key"},
		"authorities alone":     {remote("TLS_CLIENT_CA_FILE=/ca"), "TLS_CLIENT_CA_FILE", "is never used", "TLS_CERT_FILE"},
		"TLS on loopback":       {park("TLS_CERT_FILE=/cert", "TLS_KEY_FILE=/key"), "TLS_CERT_FILE", "every listener is on loopback", "off loopback"},
		"audit of nothing":      {park("AUDIT_REQUIRED=true"), "AUDIT_REQUIRED", "AUDIT_LOG is off", "stdout"},
		"audit somewhere":       {park("AUDIT_LOG=syslog"), "AUDIT_LOG", `"syslog"`, "file:/var/log"},
		"audit beside":          {park("AUDIT_LOG=file:audit.log"), "AUDIT_LOG", "not an absolute path", "file:/var/log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := mistakes(t, tt.vars, callersFile())
			if len(all) != 1 || all[0].Variable != config.Prefix+tt.variable ||
				!strings.Contains(all[0].Problem, tt.problem) || !strings.Contains(all[0].Hint, tt.hint) {
				t.Errorf("mistakes = %q, want one of %s: %q with the hint %q", all, tt.variable, tt.problem, tt.hint)
			}
		})
	}
}

func TestGateway(t *testing.T) {
	t.Parallel()
	c := mustParse(t, park("LISTEN=0.0.0.0:8080", "CALLERS_FILE=/callers.yaml", "TOKEN_LISTEN=[::]:8081", "TLS_CERT_FILE=/cert",
		"TLS_KEY_FILE=/key", "TLS_CLIENT_CA_FILE=/ca", "AUDIT_LOG=file:/var/log//audit.jsonl", "AUDIT_REQUIRED=true"), callersFile())
	if !c.TokenListen.On() || c.TokenListen.Loopback() || c.TokenListen.String() != "[::]:8081" {
		t.Errorf("TOKEN_LISTEN = %v", c.TokenListen)
	}
	if c.AuditLog != (config.AuditLog{Output: "file", Path: "/var/log/audit.jsonl"}) || !c.AuditRequired {
		t.Errorf("AUDIT_LOG = %v", c.AuditLog)
	}
	if want := (config.SecretFile{Variable: "TICKETPROXY_TLS_KEY_FILE", Path: "/key"}); len(c.SecretFiles) != 1 || c.SecretFiles[0] != want {
		t.Errorf("files of secrets: %v", c.SecretFiles)
	}
	for value, want := range map[string]config.AuditLog{"": {}, "off": {}, "stderr": {Output: "stderr"}} {
		if c := mustParse(t, park("AUDIT_LOG="+value), nil); c.AuditLog != want {
			t.Errorf("AUDIT_LOG=%s: %v", value, c.AuditLog)
		}
	}
	for value, on := range map[string]bool{"": false, "off": false, "unix:/run/tokens.sock": true, "127.0.0.1:0": true} {
		if c := mustParse(t, park("TOKEN_LISTEN="+value), nil); c.TokenListen.On() != on {
			t.Errorf("TOKEN_LISTEN=%s: %v", value, c.TokenListen)
		}
	}
}
