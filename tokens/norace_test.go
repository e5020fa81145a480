//go:build !race && !mutation

package tokens_test

const everyday = 100_000
