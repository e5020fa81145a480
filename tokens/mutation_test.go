//go:build mutation

package tokens_test

// A mutation run tests the package some hundred times.
const defaultHistories = 1_000

// mostReplicas is how many replicas share an account in TestScale.
const mostReplicas = 10
