package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// secret returns a secret's text, from its variable or from the file that the
// variable's _FILE names; "" when there is none or it is wrong. Neither the
// text nor the path is ever shown, for a path may be a secret put in the wrong
// variable.
func (p *parser) secret(variable string) string {
	text, path := p.vars[variable], p.vars[variable+fileSuffix]
	if text != "" && path != "" {
		p.report.add(variable, "is given twice, also as "+variable+fileSuffix, "keep one of the two")
		return ""
	}
	if path != "" {
		variable += fileSuffix
		content, err := p.readFile(path)
		if err != nil {
			p.report.add(variable, unreadable(err), "give the path of a readable file that holds the secret and nothing else")
			return ""
		}
		p.secretFiles = append(p.secretFiles, SecretFile{variable, path})
		text = strings.TrimSuffix(string(content), "\n")
		if len(text) < len(content) {
			text = strings.TrimSuffix(text, "\r")
		}
		if text == "" {
			p.report.add(variable, "names a file that is empty", "write the secret into the file")
			return ""
		}
	}
	if err := checkCredential(text); err != nil {
		p.report.flaw(variable, err)
		return ""
	}
	return text
}

// checkCredential holds a client id, a client secret or a refresh token to the
// characters that RFC 6749, appendix A, gives them (VSCHAR), and tells apart
// what commonly happens on the way from a page to a variable.
func checkCredential(text string) error {
	const cure = "copy it again, without line breaks, quotation marks or blanks around it"
	if strings.TrimSpace(text) != text {
		return &flaw{"begins or ends with a blank or a line break", cure}
	}
	for _, r := range text {
		switch {
		case r < ' ' || r == 0x7f:
			return &flaw{"holds a line break or another control character", cure}
		case r > '~':
			return &flaw{"holds a character that is not ASCII, which no credential has (RFC 6749, appendix A)", cure}
		}
	}
	return nil
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
			p.report.add(variable, fmt.Sprintf("certificate %d of the file is broken", len(d.CAs)+1), "export the bundle again, in PEM")
			return
		}
		d.CAs = append(d.CAs, certificate)
	}
	if len(d.CAs) == 0 {
		p.report.add(variable, "names a file without any certificate", `give a PEM bundle, with "BEGIN CERTIFICATE" lines`)
	}
}

// unreadable says why a file cannot be read, in words without its path.
func unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "names a file that does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "names a file that may not be read by this user"
	}
	return "names a file that cannot be read"
}
