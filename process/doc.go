// Package process handles what the program needs from the operating system: signals,
// limits, protection of memory, and a directory for state. It imports no other package
// of this module, and knows nothing of OAuth or HTTP.
//
// Begin reading at [Watch], which handles how the program ends.
package process
