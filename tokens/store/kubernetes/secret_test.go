package kubernetes

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
		f := startFake(t)
		return f.open(t).Account("park"), f.open(t).Account("park")
	})
}

// TestForeignWriter tests that another writer of the same Secret takes no swap away, and
// loses nothing.
func TestForeignWriter(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	park, shop := f.open(t).Account("park"), f.open(t).Account("shop")
	version := storetest.MustSwap(t, park, "", storetest.Record(1))
	storetest.MustSwap(t, shop, "", storetest.Record(7))
	f.change(func(data map[string][]byte) { data["other"] = []byte("x") })
	next := storetest.Record(2)
	next.Grant.Expiry = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	next.Intent = &tokens.Intent{ID: "a.1", Holder: "a"}
	storetest.MustSwap(t, park, version, next)
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.secrets["state"]
	if keys := slices.Sorted(maps.Keys(o.Data)); strings.Join(keys, " ") != "other park.json shop.json" {
		t.Errorf("keys %v", keys)
	}
	want := map[string]string{
		"ticketproxy/generation":  "park=2 shop=7",
		"ticketproxy/expires":     "park=2026-11-27T12:00:00Z",
		"ticketproxy/state":       "park=refreshing shop=ready",
		"ticketproxy/holder":      "park=a",
		"helm.sh/resource-policy": "keep",
	}
	if got := o.Metadata.Annotations; !maps.Equal(got, want) {
		t.Errorf("annotations %v", got)
	}
}

// TestAnnotations tests what the annotations say of one account, and that the holder's is
// removed when its refresh has ended.
func TestAnnotations(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	park := f.open(t).Account("park")
	next := storetest.Record(1)
	next.Intent = &tokens.Intent{ID: "a.1", Holder: "a"}
	version := storetest.MustSwap(t, park, "", next)
	want := map[string]string{
		"ticketproxy/generation": "1", "ticketproxy/state": "refreshing", "ticketproxy/holder": "a",
		"helm.sh/resource-policy": "keep",
	}
	annotations := func() map[string]string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.secrets["state"].Metadata.Annotations
	}
	if got := annotations(); !maps.Equal(got, want) {
		t.Errorf("annotations %v", got)
	}
	next = storetest.Record(2)
	next.Dead = &tokens.Death{Reason: "revoked"}
	storetest.MustSwap(t, park, version, next)
	want = map[string]string{
		"ticketproxy/generation": "2", "ticketproxy/state": "dead", "helm.sh/resource-policy": "keep",
	}
	if got := annotations(); !maps.Equal(got, want) {
		t.Errorf("annotations %v", got)
	}
}

// TestTooManyRequests tests that the API server is left alone as long as it asks for it.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	state := f.open(t)
	state.copier.close() // it would ask, too
	a := state.Account("park")
	storetest.MustSwap(t, a, "", storetest.Record(1))
	asked := 0
	f.mu.Lock()
	f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
		asked++
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusTooManyRequests, "TooManyRequests", "please try again later")
		return true
	}
	f.mu.Unlock()
	for range 3 {
		if _, _, err := a.Load(t.Context()); !errors.Is(err, tokens.ErrUnavailable) {
			t.Errorf("reading: %v", err)
		}
	}
	if _, err := a.Swap(t.Context(), "other", storetest.Record(2)); !errors.Is(err, tokens.ErrUnavailable) {
		t.Errorf("writing: %v", err)
	}
	if asked != 1 {
		t.Errorf("%d requests, want one", asked)
	}
}

// TestSecretMadeByAnother tests that a user who may not create the Secret finds it once
// somebody else has made it, though it was not there when it was last seen.
func TestSecretMadeByAnother(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	state := f.open(t)
	state.copier.close()
	a := state.Account("park")
	if _, _, err := a.Load(t.Context()); !errors.Is(err, tokens.ErrNone) {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.storeLocked("state", "ADDED", patch{})
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			fail(w, http.StatusForbidden, "Forbidden", "cannot create")
		}
		return r.Method == http.MethodPost
	}
	f.mu.Unlock()
	storetest.MustSwap(t, a, "", storetest.Record(1))
}

// TestUnknownOutcome tests that a write whose answer was lost is no failure and no success.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	a := f.open(t).Account("park")
	version := storetest.MustSwap(t, a, "", storetest.Record(1))
	f.mu.Lock()
	f.lose = 1
	f.mu.Unlock()
	if _, err := a.Swap(t.Context(), version, storetest.Record(2)); !errors.Is(err, tokens.ErrUnknown) {
		t.Errorf("a lost answer: %v", err)
	}
	if got := storetest.MustLoad(t, a); got.Record.Generation != 2 {
		t.Errorf("generation %d", got.Record.Generation)
	}
	for code, unknown := range map[int]bool{500: true, 503: true, 504: true, 400: false, 403: false, 422: false, 429: false} {
		f.mu.Lock()
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				fail(w, code, "", "no")
			}
			return r.Method == http.MethodPatch
		}
		f.mu.Unlock()
		_, err := a.Swap(t.Context(), storetest.MustLoad(t, a).Version, storetest.Record(3))
		if err == nil || errors.Is(err, tokens.ErrUnknown) != unknown || errors.Is(err, tokens.ErrConflict) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestServerDown tests that a write that was not sent is a plain failure.
func TestServerDown(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	a := f.open(t).Account("park")
	version := storetest.MustSwap(t, a, "", storetest.Record(1))
	f.Close()
	_, err := a.Swap(t.Context(), version, storetest.Record(2))
	if err == nil || errors.Is(err, tokens.ErrUnknown) || errors.Is(err, tokens.ErrConflict) {
		t.Errorf("Swap: %v", err)
	}
	if _, _, err := a.Load(t.Context()); !errors.Is(err, tokens.ErrUnavailable) || hint.Of(err) == "" {
		t.Errorf("Load: %v; hint %q", err, hint.Of(err))
	}
}

// TestUnusableRecords tests that neither a damaged record nor one of a newer program is
// overwritten by a first one.
func TestUnusableRecords(t *testing.T) {
	t.Parallel()
	for text, damaged := range map[string]bool{"": true, "{": true, `{"format":99}`: false} {
		f := startFake(t)
		a := f.open(t).Account("park")
		f.change(func(data map[string][]byte) { data["park.json"] = []byte(text) })
		_, version, err := a.Load(t.Context())
		if errors.Is(err, tokens.ErrDamaged) != damaged || errors.Is(err, tokens.ErrNone) || hint.Of(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
		advice := "a newer version of ticketproxy wrote it: run that version here, and keep that key"
		if damaged {
			advice = "remove that key: kubectl -n tickets patch secret state --type=json " +
				`-p '[{"op":"remove","path":"/data/park.json"}]'; then run: ticketproxy login park`
		}
		if got := hint.Of(err); got != advice {
			t.Errorf("%q: hint %q", text, got)
		}
		if _, err := a.Swap(t.Context(), "", storetest.Record(1)); err == nil {
			t.Errorf("%q was overwritten by a first record", text)
		}
		if _, err := a.Swap(t.Context(), version, storetest.Record(1)); (err == nil) != damaged {
			t.Errorf("%q: putting a record back: %v", text, err)
		}
	}
}

// TestDenied tests that a refusal names what was denied, and what allows it.
func TestDenied(t *testing.T) {
	t.Parallel()
	for method, advice := range map[string]string{
		http.MethodGet: "kubectl -n tickets create role state-refresher --verb=get,watch,patch --resource=secrets " +
			"--resource-name=state --resource-name=state-access && kubectl -n tickets create rolebinding state-refresher " +
			"--role=state-refresher --serviceaccount=shop:default",
		http.MethodPost: "kubectl -n tickets create secret generic state",
	} {
		f := startFake(t)
		a := f.open(t).Account("park")
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == method {
				fail(w, http.StatusForbidden, "Forbidden", `User "system:serviceaccount:shop:default" cannot `+method+` resource "secrets"`)
			}
			return r.Method == method
		}
		_, _, err := a.Load(t.Context())
		if method != http.MethodGet {
			_, err = a.Swap(t.Context(), "", storetest.Record(1))
		}
		if err == nil || !strings.Contains(err.Error(), "cannot "+method) || !strings.Contains(hint.Of(err), advice) {
			t.Errorf("%s: %v; hint %s", method, err, hint.Of(err))
		}
	}
}

// TestRefusalHints tests what helps against other refusals of the API server.
func TestRefusalHints(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code          int
		message, want string
	}{
		{401, "Unauthorized", "has expired, or is another cluster's"},
		{403, `unable to create new content in namespace tickets because it is being terminated`, "is being deleted"},
		{403, `secrets "state" is forbidden: exceeded quota: q`, "raise the quota"},
		{403, `User "a'; b" cannot patch resource "secrets"`, "--user=USER, where USER is"},
		{404, "", "create namespace tickets"},
		{413, "", "at most 1 MiB"},
		{422, `Secret "state" is invalid: data: Too long: may not be more than 1048576 bytes`, "at most 1 MiB"},
		{422, "Secret \"state\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
			"get secret state -o yaml | grep -v '^immutable:' | kubectl replace --force -f -"},
		{422, "something else", ""},
	} {
		s := startFake(t).open(t)
		err := s.advise(&statusError{code: test.code, message: test.message}, "patch")
		if got := hint.Of(err); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%d %s: hint %q, want %q", test.code, test.message, got, test.want)
		}
	}
}

// TestProbe tests that a probe stores nothing.
func TestProbe(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s := f.open(t)
	for i := range 2 {
		if _, err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		version := f.secrets["state"].Metadata.ResourceVersion
		f.mu.Unlock()
		if want := [...]string{"", "1"}[i]; version != want {
			t.Errorf("resourceVersion %q, want %q", version, want)
		}
		if i == 0 {
			storetest.MustSwap(t, s.Account("park"), "", storetest.Record(1))
		}
	}
}

// TestProbeOfPermissions tests that a probe names what is denied. Watching is not needed.
func TestProbeOfPermissions(t *testing.T) {
	t.Parallel()
	for denied, want := range map[string]string{
		"get":    "this user may not get secret tickets/state",
		"patch":  "this user may not patch secret tickets/state",
		"create": "this user may not create secret tickets/state",
	} {
		f := startFake(t)
		f.denied[denied] = true
		if _, err := f.open(t).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), want) || hint.Of(err) == "" {
			t.Errorf("%s: %v; hint %q", denied, err, hint.Of(err))
		}
	}
	f := startFake(t)
	f.denied["watch"] = true
	if proved, err := f.open(t).Probe(t.Context()); err != nil || !strings.Contains(proved, "may not watch it") {
		t.Errorf("%s, %v", proved, err)
	}
}

// TestProbeWithoutReviews tests that the dry run decides where this user may not ask what it
// may do.
func TestProbeWithoutReviews(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, http.StatusForbidden} {
		f := startFake(t)
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
				fail(w, http.StatusForbidden, "Forbidden", `User "login" cannot create resource "selfsubjectaccessreviews"`)
			case r.Method == http.MethodPost && code != 0:
				fail(w, code, "Forbidden", `User "login" cannot create resource "secrets"`)
			default:
				return false
			}
			return true
		}
		_, err := f.open(t).Probe(t.Context())
		if (err == nil) != (code == 0) || err != nil && !strings.Contains(hint.Of(err), "create it: kubectl") {
			t.Errorf("%d: %v; hint %q", code, err, hint.Of(err))
		}
	}
}

// TestWatch tests that an account is told of what others write, of the deletion and of what
// happened while the watch was interrupted, and of nothing else.
func TestWatch(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	mine, theirs := f.open(t), f.open(t)
	told := make(chan struct{}, 100)
	mine.Account("park").Notify(func() { told <- struct{}{} })
	version := storetest.MustSwap(t, theirs.Account("park"), "", storetest.Record(1))
	<-told
	f.change(func(data map[string][]byte) { data["other"] = []byte("x") })
	storetest.MustSwap(t, theirs.Account("shop"), "", storetest.Record(1))
	version = storetest.MustSwap(t, theirs.Account("park"), version, storetest.Record(2))
	<-told
	f.CloseClientConnections()
	storetest.MustSwap(t, theirs.Account("park"), version, storetest.Record(3))
	<-told
	f.remove()
	<-told
	if n := len(told); n != 0 {
		t.Errorf("told %d times more", n)
	}
	if gets, watches := f.count(http.MethodGet), f.count("WATCH"); watches != 2 {
		t.Errorf("%d gets, %d watches, want 2 watches", gets, watches)
	}
}

// TestWatchExpired tests that the Secret is read again when the server has forgotten the
// events since the last one that was heard of.
func TestWatchExpired(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	storetest.MustSwap(t, f.open(t).Account("park"), "", storetest.Record(1))
	expire := true
	f.mu.Lock()
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.FormValue("watch") == "" || !expire {
			return false
		}
		expire = false
		fail(w, http.StatusGone, "Expired", "too old resource version")
		return true
	}
	f.mu.Unlock()
	told := make(chan struct{}, 100)
	mine := f.open(t).Account("park")
	mine.Notify(func() { told <- struct{}{} })
	<-told
	storetest.MustSwap(t, f.open(t).Account("park"), storetest.MustLoad(t, mine).Version, storetest.Record(2))
	<-told
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s := f.open(t)
	if names, err := s.Accounts(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("of no Secret: %v, %v", names, err)
	}
	for _, name := range []string{"shop", "park"} {
		storetest.MustSwap(t, s.Account(name), "", storetest.Record(1))
	}
	f.change(func(data map[string][]byte) { data["other"] = []byte("x") })
	if names, err := s.Accounts(t.Context()); err != nil || strings.Join(names, " ") != "park shop" {
		t.Errorf("%v, %v", names, err)
	}
}
