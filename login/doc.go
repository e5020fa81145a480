// Package login obtains the first grant of an account from a person: for an
// authorization code in a browser (RFC 6749, section 4.1), for a user name and a
// password (section 4.3), or for a refresh token that the person has. It stores the
// grant as a new record of the account.
//
// It does not know the configuration or the command line: its caller gives it the
// account's client and store.
//
// Begin reading at [Flow.Run].
package login
