package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A record is an account's state file, as far as the tests read it.
type record struct {
	Generation int    `json:"generation"`
	Seed       string `json:"seed_sha256"`
	Intent     *struct {
		Holder string `json:"holder"`
	} `json:"intent"`
	Dead *struct {
		Reason string `json:"reason"`
	} `json:"dead"`
}

// readRecord reads an account's state file; nil when there is none yet.
func readRecord(t *testing.T, dir, account string) *record {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, account+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("state of %s is damaged: %v\n%s", account, err, data)
	}
	return &r
}

// descendsFrom reports whether the record is of the line of that seed.
func (r *record) descendsFrom(seed string) bool {
	sum := sha256.Sum256([]byte(seed))
	return r.Seed == hex.EncodeToString(sum[:])
}

// begunBy reports whether the holder has begun a refresh that did not end.
func (r *record) begunBy(holder string) bool {
	return r != nil && r.Intent != nil && r.Intent.Holder == holder
}

// A tempFile is a record that a killed process was about to store.
type tempFile struct{ whole bool }

func (l *tempFile) isComplete() bool { return l != nil && l.whole }

// findTempFile returns what holder has left of a record of account with the
// given generation, perhaps only the beginning of it; nil when there is nothing.
func findTempFile(t *testing.T, dir, account, holder string, generation int) *tempFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "."+account+"."+holder+".*.tmp"))
	if err != nil {
		t.Fatal(err)
	}
	var found *tempFile
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var r record
		switch err := json.Unmarshal(data, &r); {
		case err == nil && r.Generation == generation:
			return &tempFile{whole: true}
		case err != nil:
			found = &tempFile{}
		}
	}
	return found
}

// holders lists the processes that are, or were, present in a directory.
func holders(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, ".*.holder"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range paths {
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "."), ".holder"))
	}
	return all
}
