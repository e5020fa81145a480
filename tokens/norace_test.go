//go:build !race

package tokens_test

const everyday = 100_000
