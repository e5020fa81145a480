package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketproxy/tokens/store/storetest"
)

func TestRefusedDirectories(t *testing.T) {
	t.Parallel()
	mode := func(mode fs.FileMode) func(path string) error {
		return func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chmod(path, mode)
		}
	}
	for name, test := range map[string]struct {
		put        func(path string) error
		want, hint string
	}{
		"writable by all":    {mode(0o777), "can be written to by others (mode 0777)", "chmod 700"},
		"writable, sticky":   {mode(0o777 | fs.ModeSticky), "can be written to by others (mode 0777)", "name a directory"},
		"writable by group":  {mode(0o770), "can be written to by others (mode 0770)", "chmod 700"},
		"a file":             {putFile(nil, 0o600), "is not a directory", "name a directory"},
		"readable by others": {mode(0o755), "", ""},
		"own":                {mode(0o700), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				storetest.MustSwap(t, openTest(t, path).Account("park"), "", storetest.Record(1))
				return
			}
			d, err := Open(path)
			if err == nil {
				d.Close()
			}
			requirePlain(t, err, path, test.want, test.hint)
			requireNoPathBelow(t, err, path)
		})
	}
	if _, err := Open(""); err == nil {
		t.Error("a directory without a name was opened")
	}
}

// TestTidy tests that Open removes the files of killed processes, except those of a holder
// that a record names, and no files of running processes.
func TestTidy(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	living := openTest(t, path)
	killed := newHolder(bootID())
	named := newHolder(bootID())
	earlier := newHolder("an earlier boot")
	next := storetest.Record(1)
	next.Intent = intentOf(named)
	storetest.MustSwap(t, living.Account("park"), "", next)

	leftovers := []string{
		tempName("park", killed, ""), holderFile(killed),
		tempName("park", earlier, ""), holderFile(earlier),
		tempName("park", newHolder(bootID()), ""), // its holder's file does not exist
	}
	stays := []string{
		tempName("park", living.Holder(), ""), holderFile(living.Holder()),
		holderFile(named), tempName("park", named, ""), // may hold a grant
		".park.short.1.tmp", ".short.holder", "notes.tmp", // of other programs
	}
	for _, name := range append(leftovers, stays...) {
		if name == holderFile(living.Holder()) {
			continue
		}
		if err := putFile([]byte("{"), 0o600)(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	noForks(t)
	openTest(t, path)
	for _, name := range leftovers {
		if _, err := os.Lstat(filepath.Join(path, name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	for _, name := range stays {
		if _, err := os.Lstat(filepath.Join(path, name)); err != nil {
			t.Error(err)
		}
	}
	if !living.Account("park").Gone(named) {
		t.Error("Gone is false for the killed holder of the intent")
	}
}

// TestTidyWithAnUnreadableRecord tests that no lock file is removed while a record, which
// may name any holder, cannot be read.
func TestTidyWithAnUnreadableRecord(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	killed := filepath.Join(path, holderFile(newHolder(bootID())))
	if err := putFile(nil, 0o600)(killed); err != nil {
		t.Fatal(err)
	}
	shop := filepath.Join(path, "shop.json")
	if err := putFile(storetest.Encode(t, storetest.Record(1)), 0o644)(shop); err != nil {
		t.Fatal(err)
	}
	openTest(t, path)
	if _, err := os.Lstat(killed); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(shop, 0o600); err != nil {
		t.Fatal(err)
	}
	openTest(t, path)
	if _, err := os.Lstat(killed); !os.IsNotExist(err) {
		t.Errorf("the lock of a killed process is left: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	d := openTest(t, t.TempDir())
	for _, name := range []string{"shop", "park"} {
		storetest.MustSwap(t, d.Account(name), "", storetest.Record(1))
	}
	for _, other := range []string{"Other.json", ".json", "notes"} {
		if err := os.WriteFile(filepath.Join(d.Path(), other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := d.Accounts(t.Context()); err != nil || strings.Join(names, " ") != "park shop" {
		t.Errorf("%v, %v", names, err)
	}
}
