package audit

import (
	"fmt"
	"testing"
)

func TestLineAllocatesNothing(t *testing.T) {
	l, _ := newLog(t, Config{Path: t.TempDir() + "/audit.log", Required: true})
	defer l.Close()
	serve(l, "/")
	if n := testing.AllocsPerRun(100, func() { serve(l, "/") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLine(b *testing.B) {
	for _, required := range []bool{false, true} {
		b.Run(fmt.Sprintf("required=%v", required), func(b *testing.B) {
			l, err := Open(Config{Path: b.TempDir() + "/audit.log", Required: required})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			e := Event{
				Action: "request", Caller: "shop", Proof: "key", Client: "10.0.0.7", Upstream: "park", Account: "park", Generation: 3,
				Method: "GET", Path: "/events/7/tickets", Status: 200, Sent: 70, TraceID: "0af7651916cd43dd8448eb211c80319c",
			}
			b.ReportAllocs()
			for b.Loop() {
				entry, err := l.Begin()
				if err != nil {
					b.Fatal(err)
				}
				entry.End(e)
			}
		})
	}
}
