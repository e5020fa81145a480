// Package server puts the program together: it opens the accounts, connects
// them with their listeners, runs all of it, and drains it. It is the only
// package in which proxy, admin and tokens meet. It does not know the command
// line, the environment, or who starts it.
//
// Begin reading at [New] and [Server.Run].
package server
