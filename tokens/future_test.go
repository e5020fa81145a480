package tokens

import (
	"testing"
	"time"
)

// A grant is from the future if it is ahead by more than a tenth of its token's lifetime,
// or by more than 30 s if that is less.
func TestFromFuture(t *testing.T) {
	t.Parallel()
	now := at()
	for name, test := range map[string]struct {
		life, ahead time.Duration
		want        bool
	}{
		"now":                    {time.Hour, 0, false},
		"short, within":          {time.Minute, 6 * time.Second, false},
		"short, beyond":          {time.Minute, 6*time.Second + 1, true},
		"long, within":           {24 * time.Hour, 30 * time.Second, false},
		"long, beyond":           {24 * time.Hour, 30*time.Second + 1, true},
		"lifetime is not known":  {0, 30 * time.Second, false},
		"not known, beyond":      {0, 31 * time.Second, true},
		"a record without sense": {-time.Hour, 20 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := Grant{Obtained: now.Add(test.ahead)}
			if test.life != 0 {
				g.Expiry = g.Obtained.Add(test.life)
			}
			if got := g.fromFuture(g.Obtained, now); got != test.want {
				t.Errorf("%v ahead: %v", test.ahead, got)
			}
		})
	}
}

// A token of unknown age is taken to have lived for the given share.
func TestRedated(t *testing.T) {
	t.Parallel()
	now := at()
	g := Grant{Obtained: now.Add(time.Hour), Expiry: now.Add(2 * time.Hour), RefreshExpiry: now.Add(25 * time.Hour)}
	next := g.redated(now, 0.75)
	if !next.Obtained.Equal(now.Add(-45*time.Minute)) || !next.Expiry.Equal(now.Add(15*time.Minute)) {
		t.Errorf("obtained %v, expiry %v", next.Obtained, next.Expiry)
	}
	if want := next.Obtained.Add(24 * time.Hour); !next.RefreshExpiry.Equal(want) || !next.Renewed.IsZero() {
		t.Errorf("refresh expiry %v, want %v", next.RefreshExpiry, want)
	}
	if g.Obtained != now.Add(time.Hour) {
		t.Error("the grant before was changed")
	}
	without := Grant{Obtained: now.Add(time.Hour)}.redated(now, 0.75)
	if !without.Expiry.IsZero() || !without.RefreshExpiry.IsZero() || !without.Obtained.Equal(now) {
		t.Errorf("%+v", without)
	}
}

// The warning of a refresh token that lives for less than a month begins at half of its
// lifetime.
func TestWarningOfAShortRefreshToken(t *testing.T) {
	t.Parallel()
	now := at()
	for left, warned := range map[time.Duration]bool{19 * 24 * time.Hour: false, 10 * 24 * time.Hour: false, 9 * 24 * time.Hour: true} {
		r := &Refresher{held: Record{Grant: Grant{Obtained: now.Add(left - 20*24*time.Hour), RefreshExpiry: now.Add(left)}}}
		if got := r.warningsLocked(now); (len(got) > 0) != warned {
			t.Errorf("%v left: %q", left, got)
		}
	}
}
