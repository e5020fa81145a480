package file

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

func TestModesWhateverTheUmask(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "ticketproxy")
	c := startChild(t, "begin", path)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]fs.FileMode{
		filepath.Dir(path):               fs.ModeDir | 0o700,
		path:                             fs.ModeDir | 0o700,
		filepath.Join(path, "park.json"): 0o600,
		filepath.Join(path, "park.lock"): 0o600,
	} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", file, info.Mode(), want)
		}
	}
	if got := names(t, path); got != "park.json park.lock" {
		t.Errorf("files left: %s", got)
	}
}

// TestRefusedFiles tests files that are not a record, or that other users can access. Load
// and Swap fail and do not touch them, except a Swap of the damaged version, which replaces
// them. A record of a newer program is not damaged.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	good := storetest.Encode(t, storetest.Record(1))
	for name, test := range map[string]struct {
		put  func(path string) error
		want string
		hint string
	}{
		"readable by others": {putFile(good, 0o604), "can be read or changed by others (mode 0604)", "chmod 600 "},
		"readable by group":  {putFile(good, 0o640), "can be read or changed by others (mode 0640)", "chmod 600 "},
		"writable by group":  {putFile(good, 0o620), "can be read or changed by others (mode 0620)", "chmod 600 "},
		"empty":              {putFile(nil, 0o600), "is empty", "login park"},
		"truncated":          {putFile(good[:len(good)/2], 0o600), "not a record", "login park"},
		"zeros":              {putFile(make([]byte, len(good)), 0o600), "not a record", "login park"},
		"another format":     {putFile([]byte(`{"format": 99}`), 0o600), "format 99", "run that version here, and keep the file"},
		"a generation that is too high": {
			putFile([]byte(`{"format": 1, "generation": 18446744073709551615, "refresh_token": "r"}`), 0o600),
			"generation 18446744073709551615 is higher", "login park"},
		"a generation that a signed number cannot hold": {
			putFile([]byte(`{"format": 1, "generation": 9223372036854775808, "refresh_token": "r"}`), 0o600),
			"generation 9223372036854775808 is higher", "login park"},
		"no format":       {putFile([]byte(`{}`), 0o600), "not a record", "login park"},
		"too large":       {putFile(append(good, make([]byte, sizeLimit)...), 0o600), "larger than", "login park"},
		"a directory":     {func(path string) error { return os.Mkdir(path, 0o700) }, "not a regular file", "move it away"},
		"a named pipe":    {func(path string) error { return unix.Mkfifo(path, 0o600) }, "not a regular file", "move it away"},
		"a dangling link": {func(path string) error { return os.Symlink("nowhere", path) }, "symbolic link", "in place of the link"},
		"a link to a record": {func(path string) error {
			target := path + ".target"
			return errors.Join(putFile(good, 0o600)(target), os.Symlink(target, path))
		}, "symbolic link", "in place of the link"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openTest(t, t.TempDir())
			f := d.Account("park")
			if err := test.put(f.path()); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(f.path())
			if err != nil {
				t.Fatal(err)
			}
			_, version, err := f.Load(t.Context())
			requirePlain(t, err, f.path(), test.want, test.hint)
			damaged := errors.Is(err, tokens.ErrDamaged)
			if want := name != "another format"; damaged != want || (version != "") != want {
				t.Errorf("version %q, error %v: damaged %t, want %t", version, err, damaged, want)
			}
			for _, old := range []tokens.Version{"", versionOf(good)} {
				_, err = f.Swap(t.Context(), old, storetest.Record(2))
				requirePlain(t, err, f.path(), test.want, test.hint)
			}
			after, err := os.Lstat(f.path())
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the file was replaced: %v", err)
			}
			if _, err = f.Swap(t.Context(), version, storetest.Record(2)); damaged && name != "a directory" {
				if got := storetest.MustLoad(t, f).Record.Generation; err != nil || got != 2 {
					t.Errorf("Swap of the damaged version: generation %d, %v", got, err)
				}
			} else if err == nil || errors.Is(err, tokens.ErrUnknown) {
				t.Errorf("Swap of a file that is not replaced: %v", err)
			}
			if got := names(t, filepath.Dir(f.path())); strings.Contains(got, ".tmp") {
				t.Errorf("files left: %s", got)
			}
		})
	}
}

func TestRecordTooLargeToLoadIsNotWritten(t *testing.T) {
	t.Parallel()
	f := openTest(t, t.TempDir()).Account("park")
	version := storetest.MustSwap(t, f, "", storetest.Record(1))
	large := storetest.Record(2)
	large.Grant.AccessToken = secret.New(strings.Repeat("a", sizeLimit))
	_, err := f.Swap(t.Context(), version, large)
	requirePlain(t, err, f.path(), "too large", "")
	if got := storetest.MustLoad(t, f); got.Version != version {
		t.Errorf("generation %d was written", got.Record.Generation)
	}
}

// TestRecordOfMostBytes tests that Swap writes the largest record that Load reads.
func TestRecordOfMostBytes(t *testing.T) {
	t.Parallel()
	f := openTest(t, t.TempDir()).Account("park")
	most := storetest.Record(1)
	room := sizeLimit - len(storetest.Encode(t, most))
	most.Grant.AccessToken = secret.New(most.Grant.AccessToken.Reveal() + strings.Repeat("a", room))
	storetest.MustSwap(t, f, "", most)
	if got := storetest.MustLoad(t, f).Record; !got.Grant.Same(most.Grant) {
		t.Error("the record came back changed")
	}
}

func TestAccountNames(t *testing.T) {
	t.Parallel()
	d := openTest(t, t.TempDir())
	for _, name := range []string{"", ".", "..", "../park", "a/b", "a.b", "Park", "pärk", "a b", "a\x00", "a_b"} {
		f := d.Account(name)
		_, _, loadErr := f.Load(t.Context())
		_, swapErr := f.Swap(t.Context(), "", storetest.Record(1))
		for _, err := range []error{loadErr, swapErr} {
			requirePlain(t, err, strconv.Quote(name), "is no account name", "")
		}
	}
	storetest.MustSwap(t, d.Account("park-2"), "", storetest.Record(1))
	if got := names(t, d.disk.path); got != holderFile(d.Holder())+" park-2.json park-2.lock" {
		t.Errorf("files: %s", got)
	}
}

// TestVanishedVolume tests that an unmounted directory does not look like an account without
// a record, whose seed would be spent again. A Swap of the damaged version creates the
// directory again, or writes into its replacement.
func TestVanishedVolume(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f := d.Account("park")
	storetest.MustSwap(t, f, "", storetest.Record(1))
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	_, version, err := f.Load(t.Context())
	requirePlain(t, err, path, "no longer the directory", "mounted")
	if _, err := f.Swap(t.Context(), version, storetest.Record(3)); err != nil {
		t.Errorf("Swap without a directory: %v", err)
	}
	if got := storetest.MustLoad(t, f).Record.Generation; got != 3 {
		t.Errorf("generation %d, want 3", got)
	}
	if _, _, err := d.Account("shop").Load(t.Context()); !errors.Is(err, tokens.ErrDamaged) {
		t.Errorf("another account in the new directory: %v, want ErrDamaged", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.Load(t.Context())
	requirePlain(t, err, path, "no longer the directory", "mounted")
	_, err = f.Swap(t.Context(), "", storetest.Record(2))
	requirePlain(t, err, path, "no longer the directory", "mounted")
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = f.Swap(t.Context(), version, storetest.Record(3))
	requirePlain(t, err, path, "can be written to by others", "subdirectory")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	storetest.MustSwap(t, f, version, storetest.Record(3))
	if err := errors.Join(os.RemoveAll(path), os.Rename(path+".away", path)); err != nil {
		t.Fatal(err)
	}
	if got := storetest.MustLoad(t, f).Record.Generation; got != 1 {
		t.Errorf("generation %d, want 1", got)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("null"))
	f.Add([]byte(`{"format":1,"generation":-1}`))
	f.Add([]byte(`{"format":1,"expiry":"x"}`))
	f.Add([]byte(`{"format":1}{"format":1}`))
	if data, err := storetest.FullRecord().Encode(); err != nil {
		f.Fatal(err)
	} else {
		f.Add(data)
		f.Add(data[:len(data)-1])
	}
	d, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	file := d.Account("park")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := putFile(data, 0o600)(file.path()); err != nil {
			t.Fatal(err)
		}
		r, version, err := file.Load(t.Context())
		if err != nil {
			if errors.Is(err, tokens.ErrNone) || (version != "") != errors.Is(err, tokens.ErrDamaged) || !strings.Contains(err.Error(), file.path()) {
				t.Fatalf("version %q, error %v, want one that names the file", version, err)
			}
			return
		}
		again, err := tokens.Decode(storetest.Encode(t, r))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(storetest.Encode(t, again), storetest.Encode(t, r)) || version == "" {
			t.Fatalf("version %q: not the record that was stored", version)
		}
	})
}

func putFile(data []byte, mode fs.FileMode) func(path string) error {
	return func(path string) error {
		return errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode))
	}
}

// names lists a directory.
func names(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return strings.Join(list, " ")
}

// requirePlain requires an error that is not ErrNone, ErrConflict or ErrUnknown, and that
// contains object and want. Its hint must contain advice.
func requirePlain(t *testing.T, err error, object, want, advice string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	for _, special := range []error{tokens.ErrNone, tokens.ErrConflict, tokens.ErrUnknown} {
		if errors.Is(err, special) {
			t.Errorf("error %q is %q", err, special)
		}
	}
	if !strings.Contains(err.Error(), object) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q and %q", err, object, want)
	}
	if !strings.Contains(hint.Of(err), advice) {
		t.Errorf("error %q has no hint %q", err, advice)
	}
}
