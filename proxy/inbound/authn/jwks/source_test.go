package jwks

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// source runs a test of a Source in virtual time.
func source(t *testing.T, test func(t *testing.T, i *fakeIssuer, s *Source, reported *[]string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i := &fakeIssuer{}
		var reported []string
		s, err := New(Config{Issuer: issuerURL, Dial: i.dial, Report: func(err error) { reported = append(reported, err.Error()) }})
		if err != nil {
			t.Fatal(err)
		}
		i.keys = append(i.keys, newKey(t, "a"))
		test(t, i, s, &reported)
		s.Close()
	})
}

// find asks for a key and returns what came of it, and how long it took.
func find(t *testing.T, s *Source, kid string) string {
	t.Helper()
	begun := time.Now()
	keys, set, err := s.Find(t.Context(), kid, "ES256")
	if err == nil && (set == nil || !set.Has(keys[0])) {
		t.Error("the key is not in the set")
	}
	return fmt.Sprint(len(keys), err, time.Since(begun))
}

func TestFirstRequestWaits(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, _ *[]string) {
		i.takes = time.Second
		if s.Current() != nil || i.fetches() != 0 {
			t.Error("there are keys before anybody asked")
		}
		results := make(chan string)
		for range 20 {
			go func() { results <- find(t, s, "a") }()
		}
		for range 20 {
			if got := <-results; got != "1 <nil> 2s" { // two requests of a second
				t.Error(got)
			}
		}
		if i.fetches() != 2 {
			t.Errorf("%d requests", i.fetches())
		}
	})
}

// TestFloodOfUnknownKeys tests that strangers cause one fetch in ten seconds, and that a key
// that is known is found without a wait meanwhile.
func TestFloodOfUnknownKeys(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, _ *[]string) {
		find(t, s, "a")
		i.set(func() { i.takes, i.asked = 4*time.Second, nil })
		done := make(chan struct{})
		for n := range 100 {
			go func() {
				for k := range 60 {
					s.Find(t.Context(), fmt.Sprint("unknown", n, k), "ES256")
					time.Sleep(time.Second)
				}
				done <- struct{}{}
			}()
		}
		for range 60 {
			time.Sleep(time.Second)
			if got := find(t, s, "a"); got != "1 <nil> 0s" {
				t.Error(got)
			}
		}
		for range 100 {
			<-done
		}
		if n := i.fetches(); n > 2*50 || n < 8 { // 8 s of each 10 s are waited
			t.Errorf("%d requests", n)
		}
	})
}

func TestFetchesAtMostEachTenSeconds(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, _ *[]string) {
		for range 100 { // in 100 s
			find(t, s, "unknown")
			time.Sleep(time.Second)
		}
		if n := i.fetches(); n != 20 { // two requests each
			t.Errorf("%d requests in 100 s", n)
		}
	})
}

// TestRotation tests that a new key is found, that keys are fetched again in the background,
// and that a set with the same keys stays the same set.
func TestRotation(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, _ *[]string) {
		find(t, s, "a")
		first := s.Current()
		next := newKey(t, "b")
		i.set(func() { i.keys = append(i.keys, next) })
		if got := find(t, s, "b"); got != "0 the issuer has no such key 0s" {
			t.Error(got) // asked a moment ago
		}
		time.Sleep(FetchInterval)
		if got := find(t, s, "b"); got != "1 <nil> 0s" {
			t.Error(got)
		}
		second := s.Current()
		if second == first {
			t.Error("the set has not changed")
		}
		i.set(func() { i.takes = time.Second })
		time.Sleep(Fresh + time.Second)
		if got := find(t, s, "a"); got != "1 <nil> 0s" {
			t.Error(got) // not fresh, and fetched behind its back
		}
		time.Sleep(3 * time.Second)
		if s.Current() != second {
			t.Error("the same keys are another set")
		}
		i.set(func() { i.keys = i.keys[1:] })
		gone := first.keys[0]
		time.Sleep(Fresh + time.Second)
		s.Current()
		time.Sleep(3 * time.Second)
		if s.Current().Has(gone) {
			t.Error("a removed key is still there")
		}
	})
}

func TestIssuerDown(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, reported *[]string) {
		i.down = true
		if got := find(t, s, "a"); got != "0 "+ErrNoKeys.Error()+" 0s" {
			t.Error(got)
		}
		i.set(func() { i.down = false })
		time.Sleep(FetchInterval)
		find(t, s, "a")
		i.set(func() { i.down = true })
		for range 24 * 12 {
			time.Sleep(5*time.Minute - time.Second/20)
			if got := find(t, s, "a"); got != "1 <nil> 0s" {
				t.Fatal(got)
			}
		}
		if got := find(t, s, "new"); got != "0 "+ErrNoKeys.Error()+" 0s" {
			t.Errorf("a key that may be new: %s", got)
		}
		time.Sleep(time.Minute)
		if got := find(t, s, "a"); got != "0 "+ErrNoKeys.Error()+" 0s" || s.Current() != nil {
			t.Errorf("after a day: %s", got)
		}
		if len(*reported) != 2 {
			t.Errorf("reported: %q", *reported)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, _ *[]string) {
		i.takes = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Find(ctx, "a", "ES256"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		begun := time.Now()
		if _, _, err := s.Find(t.Context(), "a", "ES256"); err == nil || time.Since(begun) > fetchTimeout {
			t.Error(err, time.Since(begun))
		}
		time.Sleep(time.Minute)
	})
}

func TestCloseEndsAFetch(t *testing.T) {
	t.Parallel()
	source(t, func(t *testing.T, i *fakeIssuer, s *Source, reported *[]string) {
		i.takes = time.Second
		go s.Find(t.Context(), "a", "ES256")
		synctest.Wait()
		s.Close()
		if got := find(t, s, "a"); got != "0 "+ErrNoKeys.Error()+" 0s" || len(*reported) != 0 {
			t.Error(got, *reported)
		}
		time.Sleep(time.Minute)
	})
}
