// Package upstream sends HTTP/1.1 requests to one API, over TCP or TLS. The goroutine that
// calls RoundTrip writes the request and reads the answer itself, where net/http's transport
// (Go 1.26) has two more goroutines for each connection.
//
// Three promises differ from net/http's transport, and are the reason for the package:
//
//   - A request is never sent twice. A connection that was kept is looked at before anything is
//     written. One that the upstream has closed is replaced; after the first written byte,
//     nothing is.
//   - A request goes out as it came. No header field is added, and a body that the upstream
//     does not want is not sent (see expect.go).
//   - What the header of an answer takes of memory is bounded, for all answers together.
//
// The package knows no tokens, no accounts and no apps.
package upstream
