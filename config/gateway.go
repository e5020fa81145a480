package config

import (
	"strings"
)

// This file has variables of a gateway: TLS for listeners off loopback, and the audit log.

// On reports whether a is an address, and not the zero Address of a listener that is off.
func (a Address) On() bool { return a.Network != "" }

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool { return a.loopback() }

// tls checks that the variables of TLS are complete and are used. The files are read where
// they are served.
func (p *parser) tls(c *Config, drafts []*draft) {
	const cert, key, ca = Prefix + "TLS_CERT_FILE", Prefix + "TLS_KEY_FILE", Prefix + "TLS_CLIENT_CA_FILE"
	switch {
	case c.TLSCertFile == "" && c.TLSKeyFile != "":
		p.report.add(cert, "is required beside TLS_KEY_FILE", "give the path of the key's certificate")
		return
	case c.TLSCertFile != "" && c.TLSKeyFile == "":
		p.report.add(key, "is required beside TLS_CERT_FILE", "give the path of the certificate's private key")
		return
	case c.TLSCertFile == "" && c.TLSClientCAFile != "":
		p.report.add(ca, "is never used, since there is no TLS_CERT_FILE", "give TLS_CERT_FILE and TLS_KEY_FILE, too")
		return
	case c.TLSCertFile == "":
		return
	}
	p.secretFiles = append(p.secretFiles, SecretFile{key, c.TLSKeyFile})
	remote := c.TokenListen.On() && !c.TokenListen.loopback()
	for _, d := range drafts {
		remote = remote || !d.Listen.loopback()
	}
	if !remote && !p.listenersBlamed(drafts) && c.CallersFile == "" {
		p.report.add(cert, "is never used, since every listener is on loopback, where plain HTTP is spoken",
			"remove it, or listen at an address off loopback")
	}
}

// listenersBlamed reports whether a listener's address is among the mistakes.
func (p *parser) listenersBlamed(drafts []*draft) bool {
	if p.report.blames(Prefix + "TOKEN_LISTEN") {
		return true
	}
	for _, d := range drafts {
		if p.report.blames(d.variable("LISTEN")) {
			return true
		}
	}
	return false
}

// An AuditLog says where the audit log goes.
type AuditLog struct {
	Output string // "stdout", "stderr", "file", or "" when it is off
	Path   string // with "file": absolute
}

// parseAuditLog parses AUDIT_LOG.
func parseAuditLog(text string) (any, error) {
	const hint = "write off, stdout, stderr, or file: and an absolute path, like file:/var/log/ticketproxy/audit.jsonl"
	switch text {
	case "off":
		return AuditLog{}, nil
	case "stdout", "stderr":
		return AuditLog{Output: text}, nil
	}
	path, ok := strings.CutPrefix(text, "file:")
	if !ok {
		return nil, &flaw{quote(text) + " is none of the places where the audit log can go", hint}
	}
	if path, ok = absolute(path); !ok || path == "/" {
		return nil, &flaw{quote(text) + " is not an absolute path", hint}
	}
	return AuditLog{Output: "file", Path: path}, nil
}

// audit refuses AUDIT_REQUIRED without a log.
func (p *parser) audit(c Config) {
	if c.AuditRequired && c.AuditLog.Output == "" && !p.report.blames(Prefix+"AUDIT_LOG") {
		p.report.add(Prefix+"AUDIT_REQUIRED", "cannot be kept, since AUDIT_LOG is off",
			"say where the audit log goes, like TICKETPROXY_AUDIT_LOG=stdout")
	}
}
