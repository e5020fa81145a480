// Package command holds the verbs of the command line, one file for each. A verb
// is a function that gets the world around it as an [Env], declares its own
// flags, and returns an error, which [ExitCode] prints. It does not know how the
// process was started, and ends it nowhere.
//
// Begin reading at [Run].
package command
