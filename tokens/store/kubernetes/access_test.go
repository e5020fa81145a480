package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// record returns a record with an access token and a refresh token of its generation.
func record(generation uint64) tokens.Record {
	r := storetest.Record(generation)
	r.Grant.AccessToken = secret.New(fmt.Sprint("access-", generation))
	r.Grant.RefreshToken = secret.New(fmt.Sprint("refresh-", generation))
	r.Grant.Obtained = time.Date(2026, 1, 1, 0, int(generation), 0, 0, time.UTC)
	return r
}

// A follower is a reader that watches.
type follower struct {
	*Access
	told chan struct{}
}

// follow returns a reader of the account park, a process of its own.
func (f *fakeServer) follow(t *testing.T) follower {
	t.Helper()
	r := follower{f.open(t).Access("park"), make(chan struct{}, 100)}
	r.Notify(func() { r.told <- struct{}{} })
	return r
}

// await waits until the reader has a generation.
func (r follower) await(t *testing.T, generation uint64) tokens.Record {
	t.Helper()
	for {
		got, err := r.LoadAccess(t.Context())
		if err == nil && got.Generation == generation {
			return got
		}
		if err != nil && !errors.Is(err, tokens.ErrNone) {
			t.Fatal(err)
		}
		select {
		case <-r.told:
		case <-time.After(10 * time.Second):
			t.Fatalf("the reader has generation %d, want %d", got.Generation, generation)
		}
	}
}

// refresher returns the store of the account park of a process that watches as a Refresher
// does, with short delays. Its flags go to refused.
func (f *fakeServer) refresher(t *testing.T, refused func(uint64)) *Account {
	t.Helper()
	s := f.open(t)
	s.copier.delay = time.Millisecond
	a := s.Account("park")
	changed, ended := make(chan struct{}, 1), make(chan struct{})
	a.Notify(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	a.NotifyRefused(refused)
	go func() {
		defer close(ended)
		for {
			select {
			case <-changed:
				a.Load(t.Context())
			case <-t.Context().Done():
				return
			}
		}
	}()
	t.Cleanup(func() { <-ended })
	return a
}

// countTo counts requests to a Secret, and answers those that it should with a status.
func (f *fakeServer) countTo(name string, status func(r *http.Request) int) func() int {
	var mu sync.Mutex
	n := 0
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		body := r.FormValue("fieldSelector") == "metadata.name="+name
		if r.URL.Path != "/api/v1/namespaces/tickets/secrets/"+name && !body {
			return false
		}
		mu.Lock()
		n++
		mu.Unlock()
		code := status(r)
		if code != 0 {
			fail(w, code, http.StatusText(code), "no")
		}
		return code != 0
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// TestAccessIsCopied tests that a reader gets what a swap stored, without the refresh token,
// and never asks for the state.
func TestAccessIsCopied(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	asked := f.countTo("state", func(*http.Request) int { return 0 })
	reader := f.follow(t)
	if _, err := reader.LoadAccess(t.Context()); !errors.Is(err, tokens.ErrNone) {
		t.Errorf("before the first swap: %v", err)
	}
	before := asked()
	refresher := f.open(t).Account("park")
	version := storetest.MustSwap(t, refresher, "", record(1))
	got := reader.await(t, 1)
	if want := record(1).Access(); !got.SameAccess(want) || !got.Grant.RefreshToken.IsZero() || got.Seed != "" {
		t.Errorf("the reader has %+v", got)
	}
	intent := record(1)
	intent.Intent = &tokens.Intent{ID: "a", Holder: "b"}
	version = storetest.MustSwap(t, refresher, version, intent)
	dead := record(1)
	dead.Dead = &tokens.Death{Reason: "revoked"}
	storetest.MustSwap(t, refresher, version, dead)
	for reader.await(t, 1).Dead == nil {
		<-reader.told
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.secrets["state-access"]; strings.Contains(fmt.Sprintf("%s", n.Data), "refresh-1") || len(n.Data) != 1 {
		t.Errorf("the Secret has %s", n.Data)
	}
	writes := 0
	for _, e := range f.events {
		if e.object.Metadata.Name == "state-access" {
			writes++
		}
	}
	if writes != 2 {
		t.Errorf("%d writes of the access token, want 2", writes)
	}
	if before != 0 {
		t.Errorf("the reader has asked for the state %d times", before)
	}
}

// TestFlag tests that a flag reaches refreshers once, is taken back with the next token, and
// leaves the data alone.
func TestFlag(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	flags := make(chan uint64, 100)
	refresher := f.refresher(t, func(generation uint64) { flags <- generation })
	version := storetest.MustSwap(t, refresher, "", record(1))
	one, two := f.follow(t), f.follow(t)
	one.await(t, 1)
	two.await(t, 1)
	if err := one.Refuse(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := <-flags; got != 1 {
		t.Errorf("flag for generation %d", got)
	}
	two.LoadAccess(t.Context()) // which sees it
	patches := f.count(http.MethodPatch)
	if err := two.Refuse(t.Context(), 1); err != nil || f.count(http.MethodPatch) != patches {
		t.Errorf("the second flag: %v", err)
	}
	late := make(chan uint64, 1)
	f.refresher(t, func(generation uint64) { late <- generation })
	if got := <-late; got != 1 {
		t.Errorf("flag for generation %d at the start", got)
	}
	storetest.MustSwap(t, refresher, version, record(2))
	one.await(t, 2)
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.secrets["state-access"].Metadata.Annotations["ticketproxy/refused-park.generation"]; got != "" {
		t.Errorf("the flag is %q after the next token", got)
	}
	if n := len(flags) + len(late); n != 0 {
		t.Errorf("%d flags more", n)
	}
}

// TestFlagName tests that the name of a flag is one that an annotation can have, for each
// account (kubernetes.io, "Annotations": the name part has at most 63 characters, and begins
// and ends with a letter or digit).
func TestFlagName(t *testing.T) {
	t.Parallel()
	valid := regexp.MustCompile(`^ticketproxy/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	for _, account := range []string{"park", "park-", "p--", strings.Repeat("a", 40)} {
		if !valid.MatchString(flagOf(account)) {
			t.Errorf("%s", flagOf(account))
		}
	}
}

// TestCopyHeals tests that a copy which the process that stored the record has not written
// is written by another one that watches, and by one that starts.
func TestCopyHeals(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	crashed := f.open(t)
	crashed.copier.close() // so that it writes no copy
	version := storetest.MustSwap(t, crashed.Account("park"), "", record(1))
	f.refresher(t, func(uint64) {}).Load(t.Context())
	reader := f.follow(t)
	reader.await(t, 1)
	version = storetest.MustSwap(t, crashed.Account("park"), version, record(2))
	reader.await(t, 2)

	f.mu.Lock() // somebody puts an old copy back
	data, _ := record(1).Access().Encode()
	f.storeLocked("state-access", "MODIFIED", patch{Data: map[string][]byte{"park.json": data}})
	f.mu.Unlock()
	<-reader.told
	reader.await(t, 2)
	f.mu.Lock() // and removes it
	o := f.secrets["state-access"]
	delete(f.secrets, "state-access")
	f.version++
	o.Metadata.ResourceVersion = strconv.Itoa(f.version) // the deletion's
	f.tellLocked("DELETED", o)
	f.mu.Unlock()
	<-reader.told
	reader.await(t, 2)
	storetest.MustSwap(t, crashed.Account("park"), version, record(3))
	reader.await(t, 3)
}

// TestManyCopiers tests that one of many processes writes a copy that is behind, with at most
// a few reads.
func TestManyCopiers(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	crashed := f.open(t)
	crashed.copier.close()
	reader := f.follow(t)
	var all []*Account
	for range 10 {
		a := f.refresher(t, func(uint64) {})
		a.secret.copier.delay = 100 * time.Millisecond
		all = append(all, a)
	}
	version := storetest.MustSwap(t, crashed.Account("park"), "", record(1))
	reader.await(t, 1)
	for _, a := range all {
		for a.secret.access.known().Metadata.ResourceVersion == "" {
			time.Sleep(time.Millisecond)
		}
	}
	patches := f.count(http.MethodPatch)
	storetest.MustSwap(t, crashed.Account("park"), version, record(2))
	reader.await(t, 2)
	for _, a := range all {
		a.secret.Close()
	}
	if n := f.count(http.MethodPatch) - patches; n > 1+10 { // the swap; some copiers may be as fast as the first
		t.Errorf("%d patches", n)
	}
}

// TestCopyNeverGoesBack tests that a process which knows only an older state does not replace
// a newer copy, and that a copy from before the state was made anew gives way.
func TestCopyNeverGoesBack(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	slow := f.open(t)
	slow.copier.close()
	version := storetest.MustSwap(t, slow.Account("park"), "", record(1))
	fast := f.open(t)
	storetest.MustSwap(t, fast.Account("park"), version, record(2))
	reader := f.follow(t)
	reader.await(t, 2)
	if got, _ := recordIn(slow.known(), "park"); got.Generation != 1 {
		t.Fatalf("it knows generation %d", got.Generation)
	}
	// It stored generation 1, was stopped, and goes on now.
	slow.copier.begin(slow, slow.access)
	if _, err := slow.copier.copy("park"); err != nil {
		t.Fatal(err)
	}
	if got, err := reader.LoadAccess(t.Context()); err != nil || got.Generation != 2 {
		t.Errorf("generation %d, %v", got.Generation, err)
	}
	f.remove()
	storetest.MustSwap(t, f.open(t).Account("park"), "", record(1))
	reader.await(t, 1)
}

// TestCopyDenied tests that a state without a Secret for access tokens works as before, at
// the cost of one request.
func TestCopyDenied(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	denied := make(chan struct{}, 100)
	asked := f.countTo("state-access", func(*http.Request) int {
		denied <- struct{}{}
		return http.StatusForbidden
	})
	s := f.open(t)
	a := s.Account("park")
	version := storetest.MustSwap(t, a, "", record(1))
	<-denied
	for s.copier.offUntilNow().IsZero() {
		time.Sleep(time.Millisecond)
	}
	for generation := range uint64(10) {
		version = storetest.MustSwap(t, a, version, record(generation+2))
		storetest.MustLoad(t, a)
	}
	s.Close()
	if n := asked(); n != 1 {
		t.Errorf("%d requests for the access tokens, want 1", n)
	}
}

// TestCopyIsOnAgain tests that readers are served at once after somebody has deleted the Secret
// with the access tokens, which the refresher may not create, and has made it anew.
func TestCopyIsOnAgain(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	refresher := f.refresher(t, func(uint64) {})
	version := storetest.MustSwap(t, refresher, "", record(1))
	reader := f.follow(t)
	reader.await(t, 1)
	for !refresher.secret.access.watch.live.Load() || refresher.secret.copier.isCopying() {
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			fail(w, http.StatusForbidden, "Forbidden", "no")
		}
		return r.Method == http.MethodPost
	}
	o := f.secrets["state-access"]
	delete(f.secrets, "state-access")
	f.version++
	o.Metadata.ResourceVersion = strconv.Itoa(f.version) // the deletion's
	f.tellLocked("DELETED", o)
	f.mu.Unlock()
	for refresher.secret.copier.offUntilNow().IsZero() {
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	f.storeLocked("state-access", "ADDED", patch{})
	f.mu.Unlock()
	reader.await(t, 1)
	storetest.MustSwap(t, refresher, version, record(2))
	reader.await(t, 2)
}

func (c *copier) isCopying() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.workers) > 0
}

func (c *copier) offUntilNow() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offUntil
}

// TestCopyInAnOutage tests that a swap does not wait for the copy, which is written when that
// is possible again.
func TestCopyInAnOutage(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	var mu sync.Mutex
	down, asked := true, make(chan struct{}, 100)
	f.countTo("state-access", func(*http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		asked <- struct{}{}
		if down {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	s := f.open(t)
	storetest.MustSwap(t, s.Account("park"), "", record(1))
	<-asked
	mu.Lock()
	down = false
	mu.Unlock()
	for {
		if got, err := s.Access("park").LoadAccess(t.Context()); err == nil && got.Generation == 1 {
			break
		}
		<-asked
	}
}

// TestCloseWaitsForTheCopy tests that a process which ends after a swap has written the copy.
func TestCloseWaitsForTheCopy(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	for generation := range uint64(5) {
		s := f.open(t)
		version := tokens.Version("")
		if generation > 0 {
			version = storetest.MustLoad(t, s.Account("park")).Version
		}
		storetest.MustSwap(t, s.Account("park"), version, record(generation+1))
		s.Close()
		if got, err := s.Access("park").LoadAccess(t.Context()); err != nil || got.Generation != generation+1 {
			t.Errorf("generation %d, %v", got.Generation, err)
		}
	}
}

// TestCopyOfANewerProgram tests that it is left alone, and that a damaged one is not.
func TestCopyOfANewerProgram(t *testing.T) {
	t.Parallel()
	for text, stays := range map[string]bool{`{"format":99}`: true, "{": false} {
		f := startFake(t)
		f.mu.Lock()
		f.storeLocked("state-access", "ADDED", patch{Data: map[string][]byte{"park.json": []byte(text)}})
		f.mu.Unlock()
		s := f.open(t)
		_, err := s.Access("park").LoadAccess(t.Context())
		if err == nil || hint.Of(err) == "" || strings.Contains(hint.Of(err), "newer version") != stays {
			t.Errorf("%q: %v; hint %q", text, err, hint.Of(err))
		}
		storetest.MustSwap(t, s.Account("park"), "", record(1))
		s.Close()
		_, err = s.Access("park").LoadAccess(t.Context())
		if stays != (err != nil) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestReaderDenied tests that refusals of the server name the role that a reader needs.
func TestReaderDenied(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.countTo("state-access", func(*http.Request) int { return http.StatusForbidden })
	r := f.open(t).Access("park")
	if _, err := r.LoadAccess(t.Context()); !strings.Contains(hint.Of(err),
		"create role state-access-reader --verb=get,watch --resource=secrets --resource-name=state-access && kubectl -n tickets create rolebinding state-access-reader ") {
		t.Errorf("%v; hint %q", err, hint.Of(err))
	}
	if err := r.Refuse(t.Context(), 1); err == nil || !strings.Contains(hint.Of(err), "create role state-access-flag --verb=patch ") {
		t.Errorf("%v; hint %q", err, hint.Of(err))
	}
}

// TestProbeReader tests what check says to a reader.
func TestProbeReader(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s := f.open(t)
	if _, _, err := s.ProbeReader(t.Context()); err == nil || !strings.Contains(err.Error(), "state-access is not there") || hint.Of(err) == "" {
		t.Errorf("%v", err)
	}
	storetest.MustSwap(t, s.Account("park"), "", record(1))
	f.follow(t).await(t, 1)
	proved, warnings, err := s.ProbeReader(t.Context())
	if err != nil || proved != "secret tickets/state-access can be read" || len(warnings) != 3 ||
		!strings.HasPrefix(warnings[0], "this user may get secret tickets/state, which has the refresh tokens") {
		t.Errorf("%q, %q, %v", proved, warnings, err)
	}
	for _, denied := range []string{"get state", "list state", "watch state", "watch state-access", "patch state-access"} {
		f.denied[denied] = true
	}
	proved, warnings, err = s.ProbeReader(t.Context())
	if err != nil || !strings.Contains(proved, "may not watch") || !strings.Contains(proved, "may not patch") || warnings != nil {
		t.Errorf("%q, %q, %v", proved, warnings, err)
	}
	f.denied["get state-access"] = true
	if _, _, err := s.ProbeReader(t.Context()); err == nil || !strings.Contains(hint.Of(err), "--verb=get,watch ") {
		t.Errorf("%v; hint %q", err, hint.Of(err))
	}
}

// TestProbeCopy tests what check says to a refresher.
func TestProbeCopy(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s := f.open(t)
	for _, step := range []struct{ denied, want string }{
		{"", "access tokens for readers will be written to secret tickets/state-access, which is not there yet"},
		{"create ", "readers get no access tokens: secret tickets/state-access is not there; where there are readers, create it: kubectl"},
		{"patch state-access", "readers get no access tokens: this user may not patch secret tickets/state-access; where there are readers, allow it: kubectl"},
	} {
		f.denied[step.denied] = true
		if got, err := s.ProbeCopy(t.Context()); err != nil || !strings.HasPrefix(got, step.want) {
			t.Errorf("%q: %q, %v", step.denied, got, err)
		}
	}
	clear(f.denied)
	storetest.MustSwap(t, s.Account("park"), "", record(1))
	f.follow(t).await(t, 1)
	if got, err := s.ProbeCopy(t.Context()); err != nil || got != "access tokens for readers are written to secret tickets/state-access" {
		t.Errorf("%q, %v", got, err)
	}
}
