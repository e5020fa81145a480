// Package e2e tests the real program under faults, load and attack. No refresh
// token may be lost or spent twice, no app may starve, no byte may change and no
// web page may get through. Unmodified clients must get the API's answers. The
// package is a separate module and needs Linux.
package e2e
