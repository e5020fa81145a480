//go:build race || mutation

package tokens

// mostFaults is how many faults TestExplore has at most, unless a flag says more.
const mostFaults = 1

// mostReplicas is the same of the replicas.
const mostReplicas = 2
