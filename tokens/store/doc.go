// Package store keeps the records of package tokens: each type here is a
// [tokens.Store]. All of them pass one contract test.
//
// It builds where there is flock(2) and the boot can be told, which is on Linux
// and macOS.
package store
