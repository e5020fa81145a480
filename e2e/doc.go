// Package e2e treats the real program badly, and sees whether a refresh token
// is ever lost or spent twice. It is a module of its own, and needs Linux.
package e2e
