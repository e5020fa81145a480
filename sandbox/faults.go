package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

// UntilOff as a count leaves a fault on until it is switched off.
const UntilOff = -1

// Faults are what goes wrong. The counts say for how many of the next requests,
// [UntilOff] for all, and 0 for none; a request meets at most one of them, the
// first in the order of the fields. All but APIUnauthorized are of the token
// endpoint.
type Faults struct {
	// SlowBeforeCommit and SlowAfterCommit delay every token answer, on either
	// side of the moment in which the refresh token is spent.
	SlowBeforeCommit time.Duration `json:"-"`
	SlowAfterCommit  time.Duration `json:"-"`

	// RetryAfter is the Retry-After header of Throttle and Unavailable, in
	// seconds; 0 sends none.
	RetryAfter int `json:"retry_after"`

	// DropBeforeRead closes the connection without reading the body.
	DropBeforeRead int `json:"drop_before_read"`
	// Throttle answers 429, and nothing is spent.
	Throttle int `json:"throttle"`
	// Unavailable answers 503, and nothing is spent.
	Unavailable int `json:"unavailable"`
	// Redirect answers 307 to a path that counts who follows.
	Redirect int `json:"redirect"`
	// HTML answers 200 with a web page, and nothing is spent.
	HTML int `json:"html"`
	// DropAfterCommit closes the connection in place of a granted answer.
	DropAfterCommit int `json:"drop_after_commit"`
	// HalfBody breaks off in the middle of a granted answer.
	HalfBody int `json:"half_body"`

	// APIUnauthorized makes the API answer 401 whatever the token.
	APIUnauthorized int `json:"api_unauthorized"`
}

func take(count *int) bool {
	if *count > 0 {
		*count--
		return true
	}
	return *count < 0
}

// refuse is the fault that keeps a token request from being looked at, if one is due.
func (f *Faults) refuse() (answer, bool) {
	switch {
	case take(&f.Throttle):
		return f.retryLater(http.StatusTooManyRequests), true
	case take(&f.Unavailable):
		return f.retryLater(http.StatusServiceUnavailable), true
	case take(&f.Redirect):
		a := answer{status: http.StatusTemporaryRedirect, header: http.Header{}}
		a.header.Set("Location", redirectedPath)
		return a, true
	case take(&f.HTML):
		return webPage(http.StatusOK, "<!doctype html><title>Maintenance</title><p>The box office opens again at six."), true
	}
	return answer{}, false
}

func (f *Faults) retryLater(status int) answer {
	a := answer{status: status, header: http.Header{}}
	if f.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	return a
}

// A spoil is what is done to a granted answer on its way.
type spoil int

const (
	spoilNone spoil = iota
	spoilDrop
	spoilHalve
)

func (f *Faults) spoil() spoil {
	switch {
	case take(&f.DropAfterCommit):
		return spoilDrop
	case take(&f.HalfBody):
		return spoilHalve
	}
	return spoilNone
}
