//go:build !race && !mutation

package tokens

// mostFaults is how many faults TestExplore has at most, unless a flag says more.
const mostFaults = 2

// mostReplicas is the same of the replicas.
const mostReplicas = 3
