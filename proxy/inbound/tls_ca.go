package inbound

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// parseCAs returns all certificates of a PEM file. One that does not parse is an error, since
// its clients would be locked out without a word.
func parseCAs(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("it has no PEM block CERTIFICATE")
	}
	return all, nil
}
