package inbound

import "net/http"

// A Refused is a request that the server itself answers: its handler does not see it.
type Refused struct {
	Client  string        // as PeerOf returns it
	Request *http.Request // nil when it could not be read as HTTP
	Problem *Problem      // the answer
	Sent    int64         // bytes of the answer's body
}

// A Cut is the cause of the context of a request that was cut off. It says why.
type Cut string

// Error implements error.
func (c Cut) Error() string { return string(c) }

// OnRefused has f called before each answer to such a request. f returns the answer: the
// Problem, or another one. It is called before Serve.
func (s *Server) OnRefused(f func(Refused) *Problem) { s.refused = f }

// refuse answers a request that was read, and closes its connection.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	w.Header().Set("Connection", "close")
	if s.refused != nil {
		p = s.refused(Refused{Client: PeerOf(r), Request: r, Problem: p, Sent: int64(len(p.body()))})
	}
	p.Answer(w)
}

// refusal returns the bytes that answer what could not be read as HTTP.
func (c *Conn) refusal(p *Problem) []byte {
	if c.onRefused != nil {
		client := peerAddress(c.RemoteAddr().String())
		p = c.onRefused(Refused{Client: client, Problem: p, Sent: int64(len(p.body()))})
	}
	return raw(p)
}
