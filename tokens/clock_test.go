package tokens_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/tokens"
)

func TestSkewWarning(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 500e6, time.UTC)
	for _, c := range []struct {
		date time.Time
		want string
	}{
		{now.Add(29 * time.Second), ""},
		{now.Add(-29 * time.Second), ""},
		{now.Add(-time.Hour), "the clock is 1h0m0s ahead of the issuer's: set it by NTP"},
		{now.Add(90 * time.Second), "the clock is 1m30s behind the issuer's: set it by NTP"},
		{now.AddDate(0, -6, 0), "the clock is 4344h0m0s ahead of the issuer's: set it by NTP"},
		{now.AddDate(-2, 0, 0), "the clock is more than a year ahead of the issuer's: set it by NTP"},
		{now.AddDate(2, 0, 0), "the clock is more than a year behind the issuer's: set it by NTP"},
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "the clock is more than a year ahead of the issuer's: set it by NTP"},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "the clock is more than a year behind the issuer's: set it by NTP"},
	} {
		if got := tokens.SkewWarning(tokens.Skew(now, c.date)); got != c.want {
			t.Errorf("date %v: got %q, want %q", c.date, got, c.want)
		}
	}
	if got, want := tokens.Skew(now, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), 63913648089.5; math.Abs(got-want) > 1e-3 {
		t.Errorf("skew to the year 1: %f s, want %f", got, want)
	}
}

// TestSkewIsLoggedOncePerChange checks that a skew is logged when it has changed, and not
// with each answer or drift.
func TestSkewIsLoggedOncePerChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		r := tokens.New(tokens.Config{Account: "park", Log: zap.New(core)})
		if st := r.Status(); st.ClockSkew != nil {
			t.Errorf("skew of %v before the issuer told its time", *st.ClockSkew)
		}
		for _, step := range []struct {
			ahead time.Duration
			want  string // what is logged; "" for nothing
		}{
			{time.Second, ""},
			{40 * time.Second, "40s ahead"},
			{41 * time.Second, ""},
			{60 * time.Second, ""},
			{71 * time.Second, "1m11s ahead"},
			{-71 * time.Second, "1m11s behind"},
			{400 * 24 * time.Hour, "more than a year ahead"},
			{500 * 24 * time.Hour, ""},
			{10 * time.Second, "agrees"},
			{time.Second, ""},
			{time.Hour, "1h0m0s ahead"},
		} {
			before := logged.Len()
			for range 3 {
				r.Clock(time.Now().Add(-step.ahead))
			}
			var all []string
			for _, e := range logged.All()[before:] {
				words, _ := e.ContextMap()["difference"].(string)
				all = append(all, e.Message+" "+words)
			}
			if got := strings.Join(all, "; "); len(all) > 1 || (got == "") != (step.want == "") || !strings.Contains(got, step.want) {
				t.Errorf("%v ahead: logged %q, want %q", step.ahead, got, step.want)
			}
			if st := r.Status(); *st.ClockSkew != step.ahead.Seconds() {
				t.Errorf("skew of %v s, want %v", *st.ClockSkew, step.ahead)
			}
		}
	})
}

func TestSkewOfAYear(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * 3600
	for seconds, want := range map[float64]string{year: "8760h0m0s", year + 1: "more than a year"} {
		if got := tokens.SkewWarning(seconds); !strings.Contains(got, want) {
			t.Errorf("%v s: %q", seconds, got)
		}
	}
}

func TestSkewWarningBegins(t *testing.T) {
	t.Parallel()
	for seconds, warned := range map[float64]bool{29.9: false, -29.9: false, 30: true, -30: true} {
		if got := tokens.SkewWarning(seconds); (got != "") != warned {
			t.Errorf("%v s: %q", seconds, got)
		}
	}
}
