package tokens

import (
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"
)

// leastSkew is the least difference to the issuer's clock that is reported. A Date has
// whole seconds, and takes time to arrive.
const leastSkew = 30 * time.Second

// Clock is told the issuer's time, as it came with an answer. Expiries are
// counted from when a request was made, by the local clock alone; the issuer's
// only shows whether that is right. A difference is logged when it appears,
// changes and ends. Safe for concurrent use.
func (r *Refresher) Clock(date time.Time) {
	skew := Skew(time.Now(), date)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skew = &skew
	before, words := SkewWarning(r.loggedSkew), SkewWarning(skew)
	switch change := math.Abs(skew - r.loggedSkew); {
	case words == "" && before == "", words != "" && before != "" && change < leastSkew.Seconds():
		return
	case words == "":
		r.config.Log.Info("the clock agrees with the issuer's again")
	case words != before: // which is the same for all that is more than a year
		r.config.Log.Warn("the clock differs from the issuer's", zap.String("difference", words))
	}
	r.loggedSkew = skew
}

// Skew returns by how many seconds the local clock is ahead of an issuer's
// date. A time.Duration would end at 292 years.
func Skew(now, date time.Time) float64 {
	return float64(now.Unix()-date.Unix()) + float64(now.Nanosecond()-date.Nanosecond())/1e9
}

// SkewWarning puts a difference to the issuer's clock into words, "" when it is
// small.
func SkewWarning(seconds float64) string {
	const year = 365 * 24 * time.Hour
	size := math.Abs(seconds)
	if size < leastSkew.Seconds() {
		return ""
	}
	word := "ahead of"
	if seconds < 0 {
		word = "behind"
	}
	amount := "more than a year"
	if size <= year.Seconds() {
		amount = time.Duration(size * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("the clock is %s %s the issuer's: set it by NTP", amount, word)
}

// warningsLocked says what a person should do before it is too late.
func (r *Refresher) warningsLocked(now time.Time) []string {
	var all []string
	if r.skew != nil {
		if words := SkewWarning(*r.skew); words != "" {
			all = append(all, words)
		}
	}
	if r.seedRefused {
		all = append(
			all,
			"the refresh token that was given last was refused, and the line before it goes on: give a valid one, or the "+
				"old one again",
		)
	}
	if words := r.refusalWarningLocked(now); words != "" {
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
	case days == 1:
		all = append(all, "the refresh token expires within a day: this is urgent")
	case days <= 7:
		all = append(all, fmt.Sprintf("the refresh token expires in %d days: this is urgent", days))
	case days <= 30:
		all = append(all, fmt.Sprintf("the refresh token expires in %d days", days))
	}
	return all
}
