package postgres

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// TestFiles tests that a file for TLS that cannot be used is named, with what is wrong and
// what helps.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	authority := newAuthority(t)
	authority.issue(t, file("crt"), file("key"), "me")
	authority.issue(t, file("other.crt"), file("other.key"), "me")
	encrypted := &pem.Block{
		Type:    "EC PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00112233445566778899AABBCCDDEEFF"},
		Bytes:   bytes.Repeat([]byte("x"), 32),
	}
	for name, data := range map[string][]byte{
		"empty":     nil,
		"der":       {0x30, 0x82, 0x01, 0x0a},
		"no.crt":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
		"no.key":    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"pkcs8.key": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}),
		"old.key":   pem.EncodeToMemory(encrypted),
	} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root := func(name string) string { return "sslrootcert=" + name }
	pair := func(certificate, key string) string { return "sslcert=" + certificate + "&sslkey=" + key }
	for _, tt := range []struct{ name, parameters, err, hint string }{
		{"a pair", pair(file("crt"), file("key")) + "&" + root(authority.path), "", ""},
		{"no root", root(file("none")), `the file "` + file("none") + `" of sslrootcert does not exist`, "create it, or name the right file with sslrootcert=FILE"},
		{"a relative path", root("none/ca.crt"), `the file "none/ca.crt" of sslrootcert does not exist`, "whole path"},
		{"a directory as root", root(dir), `" of sslrootcert cannot be read: is a directory`, "sslrootcert=FILE"},
		{"an empty root", root(file("empty")), `empty" of sslrootcert is not PEM`, "-----BEGIN CERTIFICATE-----"},
		{"a key as root", root(file("key")), `key" of sslrootcert has no certificate: it is PEM of PRIVATE KEY`, "-----BEGIN CERTIFICATE-----"},
		{"no certificate in the root", root(file("no.crt")), `no.crt" of sslrootcert has no certificate that can be read`, "write the file anew"},
		{"no certificate", pair(file("none"), file("key")), `none" of sslcert does not exist`, "sslcert=FILE"},
		{"no key", pair(file("crt"), file("none")), `none" of sslkey does not exist`, "sslkey=FILE"},
		{"a certificate alone", "sslcert=" + file("crt"), `crt" of sslcert is given without its key`, "sslkey=FILE"},
		{"a key alone", "sslkey=" + file("key"), `key" of sslkey is given without its certificate`, "sslcert=FILE"},
		{"DER", pair(file("der"), file("key")), `der" of sslcert is not PEM`, "-----BEGIN CERTIFICATE-----"},
		{"a key in DER", pair(file("crt"), file("der")), `der" of sslkey is not PEM`, "-----BEGIN PRIVATE KEY-----"},
		{"exchanged", pair(file("key"), file("crt")), `key" of sslcert has no certificate: it is PEM of PRIVATE KEY`, "-----BEGIN CERTIFICATE-----"},
		{"two certificates", pair(file("crt"), file("other.crt")), `other.crt" of sslkey has no private key: it is PEM of CERTIFICATE`, "PRIVATE KEY"},
		{"another key", pair(file("crt"), file("other.key")), `other.key" of sslkey is not the key of the certificate in the file "` + file("crt"), "its own key"},
		{"a broken certificate", pair(file("no.crt"), file("key")), `no.crt" of sslcert and the file`, "write both files anew"},
		{"a broken key", pair(file("crt"), file("no.key")), "not a certificate and a key that can be used", "write both files anew"},
		{"PKCS #8", pair(file("crt"), file("pkcs8.key")), `pkcs8.key" of sslkey is encrypted in a way that is not supported`, "openssl pkey"},
		{"no password", pair(file("crt"), file("old.key")), `old.key" of sslkey is encrypted, and there is no password`, "sslpassword"},
		{"a wrong password", pair(file("crt"), file("old.key")) + "&sslpassword=" + canary, `old.key" of sslkey cannot be decrypted`, "sslpassword"},
		{"a password in the path", root("/none?password=" + canary), "the file of sslrootcert does not exist", "sslrootcert=FILE"},
	} {
		d, err := Open("postgres://me@db/x?sslmode=verify-full&" + tt.parameters)
		if tt.err == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			d.Close()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("%s: %v; hint %q", tt.name, err, hint.Of(err))
		}
		requireNoCanary(t, err)
	}
	denied := tlsFile{"sslkey", "PGSSLKEY", "/x"}.unreadable(&fs.PathError{Err: syscall.EACCES})
	if denied.Error() != `the file "/x" of PGSSLKEY cannot be read by this user: permission denied` ||
		!strings.Contains(hint.Of(denied), "let the user with the id ") {
		t.Errorf("no right to read: %v; hint %q", denied, hint.Of(denied))
	}
}

// TestFilesOfEnvironment tests that a file which a PG variable names, or which lies in the
// home directory, is named as what it is.
func TestFilesOfEnvironment(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	open := func() error {
		d, err := Open("postgres://me@db/x?sslmode=verify-full")
		if err == nil {
			d.Close()
		}
		return err
	}
	t.Setenv("PGSSLROOTCERT", "/none/ca")
	if err := open(); err == nil || err.Error() != `the file "/none/ca" of PGSSLROOTCERT does not exist` ||
		!strings.HasSuffix(hint.Of(err), "name the right file in PGSSLROOTCERT") {
		t.Errorf("PGSSLROOTCERT: %v; hint %q", err, hint.Of(err))
	}
	t.Setenv("PGSSLROOTCERT", "")
	own := filepath.Join(home, ".postgresql")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgresql.crt", "postgresql.key"} {
		if err := os.WriteFile(filepath.Join(own, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(); err == nil || err.Error() != `the file "`+own+`/postgresql.crt" is not PEM, so it has no certificate` ||
		!strings.HasSuffix(hint.Of(err), "with sslcert=FILE in the URL of TICKETPROXY_STATE") {
		t.Errorf("in the home directory: %v; hint %q", err, hint.Of(err))
	}
}

// TestFilesGoBad tests that a file which became unusable after the start is named, and that
// the state is unavailable meanwhile: somebody may be replacing the files.
func TestFilesGoBad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	newAuthority(t).issue(t, certificate, key, "me")
	f := startFake(t)
	d, err := Open("postgres://me@" + f.addr + "/tickets?sslmode=require&sslcert=" + certificate + "&sslkey=" + key)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	_, _, err = d.Account("park").Load(t.Context())
	if !errors.Is(err, tokens.ErrUnavailable) || !strings.Contains(err.Error(), key+`" of sslkey does not exist`) ||
		!strings.Contains(hint.Of(err), "sslkey=FILE") {
		t.Errorf("Load: %v; hint %q", err, hint.Of(err))
	}
	if _, err := d.Probe(t.Context()); err == nil || !strings.Contains(hint.Of(err), "sslkey=FILE") {
		t.Errorf("Probe: %v; hint %q", err, hint.Of(err))
	}
}
