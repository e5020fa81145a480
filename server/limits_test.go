package server

import (
	"math"
	"testing"

	"go.uber.org/zap"

	"ticketproxy/process"
)

func TestAppLimiter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		descriptors uint64
		memory      int64
		upstreams   int
		want        int
	}{
		{1 << 20, math.MaxInt64, 1, (1<<20 - 64) / 2},
		{math.MaxUint64, math.MaxInt64, 3, (1<<20 - 64) / 4},
		{1024, math.MaxInt64, 1, 480},
		{64, math.MaxInt64, 1, 16},
		{3, math.MaxInt64, 1, 1},
		{1 << 20, 115 << 20, 1, 719}, // as in the chart
		{1024, 115 << 20, 1, 480},
		{1 << 20, 20 << 20, 1, 102},
		{1 << 20, 1, 1, 1},
	} {
		limits := process.Limits{Files: test.descriptors, Memory: test.memory}
		if got := appLimiter(limits, test.upstreams, zap.NewNop()).Slots(); got != test.want {
			t.Errorf("%d files, %d bytes, %d upstreams: %d connections, want %d", test.descriptors, test.memory, test.upstreams, got, test.want)
		}
	}
}
