//go:build !race && !mutation

package tokens_test

// These take a minute or so on two CPUs.
const defaultHistories = 50_000

// mostReplicas is how many replicas share an account in TestScale.
const mostReplicas = 1_000
