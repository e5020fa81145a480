// Package proxy faces the app: it takes plain HTTP, refuses who has no
// business on the listener, finds the upstream, adds a bearer token from a
// TokenSource and streams the exchange both ways. It never sees a refresh
// token, and knows neither how tokens are made nor how it was configured.
package proxy
