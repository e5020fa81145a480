// Package audit writes a line for each request and each access token that was asked for. It
// says which caller sent it, how that was proved, and what the outcome was. A line is a JSON
// object with the names of the Elastic Common Schema. It has at most 4096 bytes, so that a
// pipe does not mix the lines of several processes. It holds no credential, no token and no
// query.
//
// The package knows nothing of HTTP, callers or accounts.
//
// Begin reading at [Log].
package audit
