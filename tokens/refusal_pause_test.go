package tokens

import (
	"testing"
	"time"
)

func TestNextRefusalPause(t *testing.T) {
	const well = time.Hour
	for _, c := range []struct {
		pause, accepted time.Duration
		refused         bool
		want            time.Duration
	}{
		{0, time.Minute, false, 0},
		{0, 2 * time.Hour, false, 0},
		{0, 2 * time.Hour, true, time.Second},
		{0, 0, true, time.Second},
		{time.Second, 0, true, 2 * time.Second},
		{4 * time.Minute, 0, true, 5 * time.Minute},
		{5 * time.Minute, 0, true, 5 * time.Minute},
		{5 * time.Minute, time.Minute, false, 5 * time.Minute},
		{40 * time.Second, well, false, 10 * time.Second},
		{40 * time.Second, well, true, 10 * time.Second},
		{4 * time.Second, well, false, time.Second},
		{2 * time.Second, well, false, 0},
	} {
		if got := nextRefusalPause(c.pause, c.accepted, well, c.refused); got != c.want {
			t.Errorf("pause %v, accepted for %v, refused %v: got %v, want %v", c.pause, c.accepted, c.refused, got, c.want)
		}
	}
}
