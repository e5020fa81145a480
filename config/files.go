package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// fileLimit bounds a secret's file and a bundle of certificates.
const fileLimit = 4 << 20

// errNotRegular says that a path names a pipe, a terminal or another file that is not
// regular. Opening or reading it could block forever.
var errNotRegular = errors.New("not a regular file")

// errTooLarge says that a file is longer than fileLimit.
var errTooLarge = errors.New("file is too large")

// readFile is os.ReadFile with a size limit, and refuses files that are not regular.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err == nil && len(data) > fileLimit {
		err = errTooLarge
	}
	return data, err
}

// secret returns a secret from its variable, or from the file that the _FILE variable
// names. It returns "" when there is no secret or it is wrong. Mistakes never show the
// text or the path: a path may be a secret that was put into the wrong variable.
func (p *parser) secret(variable string) string {
	text, variable := p.given(variable)
	if err := checkCredential(text); err != nil {
		p.report.flaw(variable, err)
		return ""
	}
	return text
}

// given returns the text of a variable, or of the file that its _FILE variable names, and
// which of the two it was. The text is "" when there is none or the file is wrong.
func (p *parser) given(variable string) (text, source string) {
	text, path := p.vars[variable], p.vars[variable+fileSuffix]
	if text != "" && path != "" {
		p.report.add(variable, "is given twice, also as "+variable+fileSuffix, "keep one of the two")
		return "", variable
	}
	if path == "" {
		return text, variable
	}
	variable += fileSuffix
	content, err := p.readFile(path)
	if err != nil {
		p.report.add(variable, unreadable(err), "give the path of a readable file that holds the secret and nothing else")
		return "", variable
	}
	p.secretFiles = append(p.secretFiles, SecretFile{variable, path})
	text = strings.TrimSuffix(string(content), "\n")
	if len(text) < len(content) {
		text = strings.TrimSuffix(text, "\r")
	}
	if text == "" {
		p.report.add(variable, "names a file that is empty", "write the secret into the file")
	}
	return text, variable
}

// authorities reads the certificates of CA_FILE.
func (p *parser) authorities(d *draft) {
	if d.CAFile == "" {
		return
	}
	variable := d.variable("CA_FILE")
	rest, err := p.readFile(d.CAFile)
	if err != nil {
		p.report.add(variable, unreadable(err), "give the path of a readable PEM bundle")
		return
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			p.report.add(
				variable,
				fmt.Sprintf("certificate %d of the file is broken", len(d.CAs)+1),
				"export the bundle again, in PEM",
			)
			return
		}
		d.CAs = append(d.CAs, certificate)
	}
	if len(d.CAs) == 0 {
		p.report.add(variable, "names a file without any certificate", `give a PEM bundle, with "BEGIN CERTIFICATE" lines`)
	}
}

// unreadable explains why a file cannot be read, without its path.
func unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "names a file that does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "names a file that may not be read by this user"
	case errors.Is(err, errNotRegular):
		return "names a pipe, a terminal or a directory, and not a file"
	case errors.Is(err, errTooLarge):
		return "names a file of more than 4 MiB, which is too large"
	}
	return "names a file that cannot be read"
}
