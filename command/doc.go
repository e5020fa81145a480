// Package command has the verbs of the command line, one file for each. A verb is a
// function that gets its environment as an [Env], declares its own flags, and returns an
// error, which [ExitCode] prints. It does not know how the process was started, and never
// ends it.
//
// Begin reading at [Run].
package command
