package tokens

import (
	"fmt"
	"math"
	"time"
)

// leastSkew is the difference to the issuer's clock that is worth a word. Its
// Date has whole seconds and has travelled.
const leastSkew = 30 * time.Second

// Clock is told the issuer's time, as it came with an answer. Expiries are
// counted from when a request was made, by the local clock alone; the issuer's
// only shows whether that is right. Safe for concurrent use.
func (r *Refresher) Clock(date time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skew = time.Since(date.Round(0))
}

// Skew puts a difference to the issuer's clock into words, "" when it is small.
func Skew(d time.Duration) string {
	if d.Abs() < leastSkew {
		return ""
	}
	word := "ahead of"
	if d < 0 {
		word = "behind"
	}
	return fmt.Sprintf("the clock is %v %s the issuer's: set it by NTP", d.Abs().Round(time.Second), word)
}

// warnings says what a person should do before it is too late.
func (r *Refresher) warnings(now time.Time) []string {
	var all []string
	if words := Skew(r.skew); words != "" {
		all = append(all, words)
	}
	if r.misled {
		all = append(all, "the refresh token that was given last was refused, and the line before it goes on: give a valid one, or the old one again")
	}
	if words := r.refusalWarning(now); words != "" {
		all = append(all, words)
	}
	g := r.held.Grant
	if g.RefreshExpiry.IsZero() || r.held.Dead != nil {
		return all
	}
	left := g.RefreshExpiry.Sub(now)
	if left >= g.RefreshExpiry.Sub(g.renewed())/2 { // short-lived, and fresh
		return all
	}
	days := int(math.Ceil(left.Hours() / 24))
	switch {
	case left <= 0:
		all = append(all, "the refresh token has expired")
	case days <= 7:
		all = append(all, fmt.Sprintf("the refresh token expires in %d days: this is urgent", days))
	case days <= 30:
		all = append(all, fmt.Sprintf("the refresh token expires in %d days", days))
	}
	return all
}
