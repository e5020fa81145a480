package file

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// TestKilledBetweenWriteAndRename tests that Gone stores the grant in a killed process's
// temporary file, unless the file is incomplete or the record is newer.
func TestKilledBetweenWriteAndRename(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		data func(t *testing.T) []byte
		old  func(now tokens.Version) tokens.Version
		want uint64
	}{
		"whole":        {func(t *testing.T) []byte { return storetest.Encode(t, storetest.Record(2)) }, nil, 2},
		"half written": {func(t *testing.T) []byte { d := storetest.Encode(t, storetest.Record(2)); return d[:len(d)/2] }, nil, 1},
		"empty":        {func(t *testing.T) []byte { return nil }, nil, 1},
		"no grant":     {func(t *testing.T) []byte { return storetest.Encode(t, storetest.Record(1)) }, nil, 1},
		"overtaken":    {func(t *testing.T) []byte { return storetest.Encode(t, storetest.Record(2)) }, func(tokens.Version) tokens.Version { return versionOf(nil) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			dir := openTest(t, path)
			killed := newHolder(bootID())
			if err := putFile(nil, 0o600)(filepath.Join(path, holderFile(killed))); err != nil {
				t.Fatal(err)
			}
			park := dir.Account("park")
			intent := storetest.Record(1)
			intent.Intent = intentOf(killed)
			version := storetest.MustSwap(t, park, "", intent)
			old := version
			if test.old != nil {
				old = test.old(version)
			}
			temp := filepath.Join(path, tempName("park", killed, old))
			if err := putFile(test.data(t), 0o600)(temp); err != nil {
				t.Fatal(err)
			}
			openTest(t, path) // must not remove the temporary file

			if !park.Gone(killed) {
				t.Error("Gone is false for the killed process")
			}
			got, now, err := park.Load(t.Context())
			if err != nil || got.Generation != test.want {
				t.Errorf("generation %d, error %v", got.Generation, err)
			}
			if (now != version) != (test.want == 2) {
				t.Errorf("version %s, before %s", now, version)
			}
			if _, err := os.Lstat(temp); !os.IsNotExist(err) {
				t.Errorf("the temporary file is left: %v", err)
			}
		})
	}
}

// TestUnfinishedHolderIsNotGone tests that Gone is false while another process holds the
// record's lock: the killed process's write cannot be finished, and the record's token must
// not be spent.
func TestUnfinishedHolderIsNotGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		dir := openTest(t, path)
		killed := newHolder(bootID())
		if err := putFile(nil, 0o600)(filepath.Join(path, holderFile(killed))); err != nil {
			t.Fatal(err)
		}
		park := dir.Account("park")
		old := storetest.MustSwap(t, park, "", storetest.Record(1))
		temp := filepath.Join(path, tempName("park", killed, old))
		if err := putFile(storetest.Encode(t, storetest.Record(2)), 0o600)(temp); err != nil {
			t.Fatal(err)
		}
		lock, err := dir.Account("park").lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if park.Gone(killed) {
			t.Error("Gone is true before the killed process's write is finished")
		}
		lock.Close()
		if !park.Gone(killed) || storetest.MustLoad(t, park).Record.Generation != 2 {
			t.Error("the write is not finished after the lock was released")
		}
	})
}
