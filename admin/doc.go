// Package admin faces the operator: health, metrics and status, on a listener
// of their own. It reads snapshots and changes nothing. It knows no issuer, store or
// configuration.
//
// Begin reading at [NewHandler].
package admin
