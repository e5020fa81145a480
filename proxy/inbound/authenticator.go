package inbound

import (
	"net"
	"net/http"
	"time"
)

// A Caller is who sent a request, as proved.
type Caller struct {
	Name  string // in CALLERS_FILE
	Proof string // how it was proved: "key", "token", "certificate", "uid", "listener", "placeholder"
	// Until is when the proof expires; zero when it does not.
	Until time.Time
	// ProvedBy is a digest of what proved it in CALLERS_FILE, such as the key. An Authenticator
	// of the file as it is later knows by it whether that is still there.
	ProvedBy [32]byte
}

// An Authenticator finds out who sent a request. Safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the caller that the request proves, or the answer for it: 401
	// "unauthenticated" with a challenge, or 429 "rate_limited" for an address with too many
	// failed proofs. It removes nothing from the request; proxy removes Proxy-Authorization
	// and Authorization.
	Authenticate(*http.Request) (Caller, *Problem)
}

// Challenges returns the challenges of a 401 (RFC 9110, section 11.6.1). Each has a line of
// its own and Basic is first: some clients read only the first line, and java.net.http of
// Java 17 finds no Basic behind a Bearer in one line. A client that sends credentials only
// when asked, such as wget and Java's HttpURLConnection, answers the Basic one.
func Challenges() []string {
	return []string{`Basic realm="ticketproxy", charset="UTF-8"`, `Bearer realm="ticketproxy"`}
}

// PeerOf returns the address that a request came from, without its port; "unix" for a Unix
// socket.
func PeerOf(r *http.Request) string {
	return peerAddress(r.RemoteAddr)
}

// peerAddress is PeerOf for the text of a net.Addr.
func peerAddress(text string) string {
	if host, _, err := net.SplitHostPort(text); err == nil {
		return host
	}
	return "unix"
}
