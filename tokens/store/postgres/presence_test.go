package postgres

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// intentOf returns a record that a process is about to refresh.
func intentOf(holder string) tokens.Record {
	r := storetest.Record(1)
	r.Intent = &tokens.Intent{ID: "x", Holder: holder, Start: time.Now(), Try: 1}
	return r
}

// TestPresence tests that another process of this machine sees when the holder of an intent
// has ended.
func TestPresence(t *testing.T) {
	t.Parallel()
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		t.Skip("SKIPPED: no /dev/shm")
	}
	f := startFake(t, answer{text: "WITH swapped", rows: [][]string{{"", "", ""}}})
	me, other := f.open(t).Account("park"), f.open(t)
	if host, err := os.Hostname(); err != nil || !strings.HasPrefix(other.Holder(), host+"/") {
		t.Errorf("holder %s, host %s, %v", other.Holder(), host, err)
	}
	lock := "/dev/shm/ticketproxy." + other.presence.Holder() + ".holder"
	t.Cleanup(func() { os.Remove(lock) })
	storetest.MustSwap(t, other.Account("park"), "v", intentOf(other.Holder()))
	if _, err := os.Stat(lock); err != nil {
		t.Errorf("the lock: %v", err)
	}
	if me.Gone(other.Holder()) {
		t.Error("a process that runs is gone")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		me.Gone(other.Holder())
		time.Sleep(2 * time.Second)
		if !me.Gone(other.Holder()) {
			t.Error("a process that has ended is not gone")
		}
	})
}

// TestPresenceLeavesNothing tests that a process which no record names leaves no file.
func TestPresenceLeavesNothing(t *testing.T) {
	t.Parallel()
	f := startFake(t, answer{text: "WITH swapped", rows: [][]string{{"", "", ""}}})
	d := f.open(t)
	lock := "/dev/shm/ticketproxy." + d.presence.Holder() + ".holder"
	t.Cleanup(func() { os.Remove(lock) })
	park := d.Account("park")
	version := storetest.MustSwap(t, park, "v", intentOf(d.Holder()))
	storetest.MustSwap(t, park, version, storetest.Record(2))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lock); !os.IsNotExist(err) {
		t.Errorf("the lock stays: %v", err)
	}
}
