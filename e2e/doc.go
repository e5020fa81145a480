// Package e2e treats the real program badly, and sees whether a refresh token
// is ever lost or spent twice, an honest app ever starved, and a byte ever
// changed; whether a web page gets through; and whether clients as they are get
// what they asked for. It is a module of its own, and needs Linux.
package e2e
