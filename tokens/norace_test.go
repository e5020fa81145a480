//go:build !race && !mutation

package tokens_test

const defaultHistories = 100_000
