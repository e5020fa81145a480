// Package charts holds the chart to what Kubernetes and the program take. It is
// a module of its own, so that the program's has no dependency of Kubernetes.
//
// Its tests need two programs, by their paths:
//
//	HELM=/path/to/helm TICKETPROXY=/path/to/ticketproxy go test
package charts
