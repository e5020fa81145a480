//go:build mutation

package tokens_test

// A mutation run tests the package some hundred times.
const defaultHistories = 1_000
