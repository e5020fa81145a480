package kubernetes

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens/store/storetest"
)

// TestCopyIsReported tests that a refusal of the copy for readers is told once, with what
// allows it and whether there is a Secret for readers, and that no swap fails for it.
func TestCopyIsReported(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s := f.open(t)
	type report struct {
		err    error
		exists bool
	}
	reports := make(chan report, 100)
	s.ReportCopies(func(err error, exists bool) { reports <- report{err, exists} })
	a := s.Account("park")
	generation := uint64(1)
	version := storetest.MustSwap(t, a, "", record(generation))
	for s.copier.isCopying() {
		time.Sleep(time.Millisecond)
	}
	for _, step := range []struct {
		name    string
		denied  string // a method; "*" is all of them
		missing bool   // the Secret with the access tokens is not there
		want    string // of the hint; "again" is no error, and "" no report
		exists  bool
	}{
		{name: "no right at all", denied: "*", missing: true, want: "allow it: kubectl -n tickets create role state-refresher "},
		{name: "still none", denied: "*", missing: true},
		{name: "the right to read", denied: http.MethodPatch, want: "--serviceaccount=tickets:shop", exists: true},
		{name: "still that one", denied: http.MethodPatch},
		{name: "the right to write", want: "again", exists: true},
		{name: "the Secret is gone", denied: http.MethodPost, missing: true, want: "create it: kubectl -n tickets create secret generic state-access"},
		{name: "it is back", want: "again", exists: true},
		{name: "no right to write", denied: http.MethodPatch, want: "allow it: kubectl", exists: true},
	} {
		f.mu.Lock()
		delete(f.secrets, "state-access")
		if !step.missing {
			f.storeLocked("state-access", "ADDED", patch{})
		}
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/state-access") && r.Method != http.MethodPost ||
				step.denied != "*" && step.denied != r.Method {
				return false
			}
			fail(w, http.StatusForbidden, "Forbidden", `User "system:serviceaccount:tickets:shop" cannot do that`)
			return true
		}
		f.mu.Unlock()
		s.access.forget()
		s.copier.on()
		generation++
		version = storetest.MustSwap(t, a, version, record(generation))
		for s.copier.isCopying() {
			time.Sleep(time.Millisecond)
		}
		var got report
		select {
		case got = <-reports:
		default:
		}
		switch {
		case len(reports) > 0, got.exists != step.exists, (got.err == nil) != (step.want == "again" || step.want == ""),
			got.err != nil && !strings.Contains(hint.Of(got.err), step.want):
			t.Errorf("%s: %v, exists %v; hint %q; %d more", step.name, got.err, got.exists, hint.Of(got.err), len(reports))
		}
	}
}
