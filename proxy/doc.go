// Package proxy takes a request that may pass to an API, adds a bearer token from a
// TokenSource, and streams request and answer both ways. It never sees a refresh
// token. It knows neither how tokens are made nor how it was configured.
//
// Begin reading at [Handler.ServeHTTP], then upstream.serve and bearer.RoundTrip.
// headers.go has the table of header rules, url.go what becomes of paths, queries
// and locations, body.go how a body is sent twice, continue.go what becomes of
// Expect, problem.go what apps are told.
package proxy
