//go:build race && !mutation

package tokens_test

// The race detector makes a history ten times as long.
const everyday = 5_000
