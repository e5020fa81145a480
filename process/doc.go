// Package process asks the operating system for what the program needs of it:
// signals, limits, protection of memory, and a directory for state. It knows no
// other package of ours, and nothing of OAuth or HTTP.
//
// Begin reading at [Watch] for how the program ends.
package process
