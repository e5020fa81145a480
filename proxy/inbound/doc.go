// Package inbound is the side of the program that faces its callers: listeners
// whose connections are limited in number, time and memory, the guard that
// refuses requests that must not pass, and the answers of our own (RFC 9457). It
// knows no upstream, token or configuration. proxy and admin serve by it.
//
// Begin reading at [Server], then [Conn] and [Guard].
package inbound
