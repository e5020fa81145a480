// Package charts tests that Kubernetes and the program accept what the chart renders. It is
// a module of its own, so that the program's module does not depend on Kubernetes.
//
// Its tests need the paths of two programs:
//
//	HELM=/path/to/helm TICKETPROXY=/path/to/ticketproxy go test
package charts
