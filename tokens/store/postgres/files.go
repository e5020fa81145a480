package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ticketproxy/hint"
)

// A tlsFile is a file for TLS. path is "" when there is none.
type tlsFile struct {
	parameter string // which names it in the URL
	source    string // the parameter, the PG variable, or "" for a file in the home directory
	path      string
}

// tlsFiles are the files of a connection.
type tlsFiles struct {
	root, certificate, key tlsFile
	password               bool // there is one for the key
}

// tlsFilesOf returns the files that pgx uses with the parameters of a URL.
func tlsFilesOf(values url.Values) tlsFiles {
	named := func(parameter string) tlsFile {
		variable := "PG" + strings.ToUpper(parameter)
		switch path := os.Getenv(variable); {
		case values.Has(parameter):
			return tlsFile{parameter, parameter, values.Get(parameter)}
		case path != "":
			return tlsFile{parameter, variable, path}
		}
		return tlsFile{parameter: parameter}
	}
	f := tlsFiles{named("sslrootcert"), named("sslcert"), named("sslkey"), named("sslpassword").path != ""}
	home, err := os.UserHomeDir()
	if err != nil {
		return f
	}
	exists := func(name string) string {
		path := filepath.Join(home, ".postgresql", name)
		if _, err := os.Stat(path); err != nil {
			return ""
		}
		return path
	}
	if f.root.source == "" {
		f.root.path = exists("root.crt")
	}
	certificate, key := exists("postgresql.crt"), exists("postgresql.key")
	if certificate != "" && key != "" {
		if f.certificate.source == "" {
			f.certificate.path = certificate
		}
		if f.key.source == "" {
			f.key.path = key
		}
	}
	return f
}

// wrong returns what is wrong with the first file that cannot be used; nil when there is none.
// The error has a hint.
func (f tlsFiles) wrong() error {
	if f.root.path != "" && f.root.path != "system" {
		data, err := f.root.read()
		if err != nil {
			return err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return f.root.lacks(data, "certificate", "CERTIFICATE")
		}
	}
	return f.wrongPair()
}

// wrongPair returns what is wrong with the client's certificate or its key.
func (f tlsFiles) wrongPair() error {
	switch {
	case f.certificate.path == "" && f.key.path == "":
		return nil
	case f.key.path == "":
		return hint.With(errors.New(f.certificate.String()+" is given without its key"),
			"name the file of the private key "+f.key.place())
	case f.certificate.path == "":
		return hint.With(errors.New(f.key.String()+" is given without its certificate"),
			"name the file of the certificate "+f.certificate.place())
	}
	certificate, err := f.certificate.read()
	if err != nil {
		return err
	}
	key, err := f.key.read()
	if err != nil {
		return err
	}
	if !slices.Contains(blocks(certificate), "CERTIFICATE") {
		return f.certificate.lacks(certificate, "certificate", "CERTIFICATE")
	}
	if !slices.ContainsFunc(blocks(key), isKey) {
		return f.key.lacks(key, "private key", "PRIVATE KEY")
	}
	if err := f.wrongEncryption(key); err != nil {
		return err
	}
	if isEncrypted(key) { // pgx alone decrypts it
		return nil
	}
	_, err = tls.X509KeyPair(certificate, key)
	return f.wrongMatch(err)
}

// wrongEncryption returns what is wrong with the encryption of a key. Go's crypto/x509 has
// none of PKCS #8.
func (f tlsFiles) wrongEncryption(key []byte) error {
	const decrypt = "write the key without encryption, with openssl pkey -in FILE -out NEWFILE, and name the new file "
	switch {
	case slices.Contains(blocks(key), "ENCRYPTED PRIVATE KEY"):
		return hint.With(errors.New(f.key.String()+" is encrypted in a way that is not supported (PKCS #8)"),
			decrypt+f.key.place())
	case isEncrypted(key) && !f.password:
		return hint.With(errors.New(f.key.String()+" is encrypted, and there is no password for it"),
			"give the password by sslpassword or PGSSLPASSWORD")
	}
	return nil
}

// wrongMatch returns what err of crypto/tls or pgx says of a certificate and its key. Neither
// has another sign of it (Go 1.26, pgx 5.13): TestFiles tests the words.
func (f tlsFiles) wrongMatch(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, x509.IncorrectPasswordError):
		return hint.With(errors.New(f.key.String()+" cannot be decrypted with the password that is given"),
			"give the right password by sslpassword or PGSSLPASSWORD")
	case strings.Contains(err.Error(), "does not match"):
		return hint.With(fmt.Errorf("%s is not the key of the certificate in %s", f.key, f.certificate),
			"name a certificate and its own key; of several certificates in a file, the client's own is the first")
	}
	return hint.With(fmt.Errorf("%s and %s are not a certificate and a key that can be used", f.certificate, f.key),
		"write both files anew, in PEM")
}

// String names the file for people. A path that may have swallowed other parameters of the
// URL, and a password with them, is left out.
func (f tlsFile) String() string {
	text := "the file"
	if !strings.ContainsAny(f.path, "?&;=#@") {
		text += " " + strconv.Quote(f.path)
	}
	if f.source != "" {
		text += " of " + f.source
	}
	return text
}

// place says where the file is named.
func (f tlsFile) place() string {
	if strings.HasPrefix(f.source, "PG") {
		return "in " + f.source
	}
	return "with " + f.parameter + "=FILE in the URL of TICKETPROXY_STATE"
}

// read reads the file.
func (f tlsFile) read() ([]byte, error) {
	data, err := os.ReadFile(f.path)
	if err == nil {
		return data, nil
	}
	return nil, f.unreadable(err)
}

// unreadable says why a file cannot be read, and what helps.
func (f tlsFile) unreadable(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // without the path
	}
	advice := "create it, or name the right file "
	if !filepath.IsAbs(f.path) {
		advice = "name it with its whole path "
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.With(errors.New(f.String()+" does not exist"), advice+f.place())
	case errors.Is(err, fs.ErrPermission):
		return hint.With(fmt.Errorf("%s cannot be read by this user: %w", f, err),
			fmt.Sprintf("let the user with the id %d read the file and enter its directories", os.Geteuid()))
	}
	return hint.With(fmt.Errorf("%s cannot be read: %w", f, err), "name a file that can be read "+f.place())
}

// lacks is the error of a file without what it should have. block is its type in PEM.
func (f tlsFile) lacks(data []byte, what, block string) error {
	found := blocks(data)
	advice := "name a file in PEM, which has a line -----BEGIN " + block + "-----, " + f.place()
	switch {
	case len(found) == 0:
		return hint.With(errors.New(f.String()+" is not PEM, so it has no "+what), advice)
	case slices.Contains(found, block):
		return hint.With(errors.New(f.String()+" has no "+what+" that can be read"), "write the file anew, in PEM")
	}
	return hint.With(fmt.Errorf("%s has no %s: it is PEM of %s", f, what, strings.Join(found, ", ")), advice)
}

// blocks returns the types of the blocks in PEM, each once.
func blocks(data []byte) []string {
	var types []string
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return types
		}
		if data = rest; !slices.Contains(types, block.Type) {
			types = append(types, block.Type)
		}
	}
}

// isKey reports whether a type of PEM is a private key.
func isKey(block string) bool { return strings.HasSuffix(block, "PRIVATE KEY") }

// isEncrypted reports whether the first block of PEM is encrypted by RFC 1423.
func isEncrypted(data []byte) bool {
	block, _ := pem.Decode(data)
	return block != nil && block.Headers["DEK-Info"] != ""
}
