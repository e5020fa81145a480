// Package kubernetes stores records in a Secret of a Kubernetes cluster.
//
// All accounts of a state share one Secret, with a key for each: one name to allow in a
// Role, one object to watch, one thing to back up. An account's key holds its record, as a
// file would. The version of a record is the SHA-256 of its bytes, so a foreign writer of
// other keys, labels or annotations takes no swap away.
//
// A swap is a merge patch that names the resourceVersion which it replaces. The API server
// refuses it when the Secret has changed since. It patches one key and one annotation, and
// leaves the rest alone.
//
// Begin reading at [Secret], then client.go, config.go and kubeconfig.go. There is no
// client-go: it costs each sidecar 4 MB of binary and 4 MB of memory, for four requests.
package kubernetes
