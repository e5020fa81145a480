package server

import (
	"crypto/tls"
	"slices"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy/inbound"
)

// openTLS reads the files for TLS; nil where there are none.
func openTLS(c config.Config, log *zap.Logger) (*inbound.TLSFiles, error) {
	if c.TLSCertFile == "" {
		return nil, nil
	}
	files, err := inbound.NewTLSFiles(c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile, func(err error) {
		log.Error("files for TLS cannot be used", zap.Error(err))
	})
	if err != nil {
		return nil, hint.With(err, "see TICKETPROXY_TLS_CERT_FILE, TICKETPROXY_TLS_KEY_FILE and "+
			"TICKETPROXY_TLS_CLIENT_CA_FILE: PEM files of a certificate with its chain, of its key, and of authorities")
	}
	return files, nil
}

// warnOfClearText logs which listeners get callers' proofs, and hand out tokens, in clear over a
// network.
func (s *Server) warnOfClearText() {
	if s.tls != nil || s.callers == nil {
		return
	}
	for _, l := range append(slices.Clone(s.apps), s.tokens) {
		if l != nil && !l.address.Loopback() {
			s.log.Warn(
				"a listener off loopback speaks plain HTTP: whoever sees its network sees callers' keys and tokens",
				zap.Stringer("address", l.address),
				zap.String("hint", "set TICKETPROXY_TLS_CERT_FILE and TICKETPROXY_TLS_KEY_FILE, unless something "+
					"else encrypts that network"),
			)
		}
	}
}

// tlsOf returns how a listener speaks TLS; nil for plain HTTP, as on loopback.
func (s *Server) tlsOf(address config.Address) *tls.Config {
	if s.tls == nil || !SpeaksTLS(s.config, address) {
		return nil
	}
	return s.tls.Config()
}

// SpeaksTLS reports whether a listener at an address speaks TLS.
func SpeaksTLS(c config.Config, address config.Address) bool {
	return c.TLSCertFile != "" && !address.Loopback()
}
