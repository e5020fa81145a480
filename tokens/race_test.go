//go:build race && !mutation

package tokens_test

// With the race detector a history takes ten times as long.
const defaultHistories = 5_000

// mostReplicas is how many replicas share an account in TestScale.
const mostReplicas = 100
