package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

// UntilOff is the count of a fault that stays on until it is switched off.
const UntilOff = -1

// Faults are the faults that a [Provider] injects. A count says how many of the next
// requests it affects: [UntilOff] is all, 0 is none. A request meets at most one
// counted fault, the first in the order of the fields. All except APIUnauthorized
// affect the token endpoint.
type Faults struct {
	// SlowBeforeCommit and SlowAfterCommit delay every token answer, before and after
	// the refresh token is spent.
	SlowBeforeCommit time.Duration `json:"-"`
	SlowAfterCommit  time.Duration `json:"-"`

	// RetryAfter is the Retry-After header of Throttle and Unavailable, in
	// seconds; 0 sends none.
	RetryAfter int `json:"retry_after"`

	// DropBeforeRead closes the connection without reading the body.
	DropBeforeRead int `json:"drop_before_read"`
	// Throttle answers 429 and spends nothing.
	Throttle int `json:"throttle"`
	// Unavailable answers 503 and spends nothing.
	Unavailable int `json:"unavailable"`
	// Redirect answers 307 to a path that counts the clients that follow.
	Redirect int `json:"redirect"`
	// HTML answers 200 with a web page and spends nothing.
	HTML int `json:"html"`
	// DropAfterCommit closes the connection instead of sending a grant.
	DropAfterCommit int `json:"drop_after_commit"`
	// HalfBody closes the connection after half of a grant.
	HalfBody int `json:"half_body"`

	// APIUnauthorized makes the API answer 401 to any token.
	APIUnauthorized int `json:"api_unauthorized"`
}

// take reports whether a fault is due, and counts it down.
func take(count *int) bool {
	if *count > 0 {
		*count--
		return true
	}
	return *count < 0
}

// refuse returns the answer of a fault that replaces the handling of a token request,
// if one is due.
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

// A delivery says how a grant is sent.
type delivery int

const (
	sendWhole delivery = iota
	dropConnection
	sendHalf
)

func (f *Faults) delivery() delivery {
	switch {
	case take(&f.DropAfterCommit):
		return dropConnection
	case take(&f.HalfBody):
		return sendHalf
	}
	return sendWhole
}
