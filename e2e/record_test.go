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

// A record holds the fields of an account's state file that the tests read.
type record struct {
	Generation   int    `json:"generation"`
	RefreshToken string `json:"refresh_token"`
	Seed         string `json:"seed_sha256"`

	Intent *struct {
		Holder string `json:"holder"`
	} `json:"intent"`
	Dead *struct {
		Reason string `json:"reason"`
	} `json:"dead"`
}

// readRecord reads an account's state file. It returns nil if there is none yet.
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

// descendsFrom reports whether the record was obtained from that seed.
func (r *record) descendsFrom(seed string) bool {
	sum := sha256.Sum256([]byte(seed))
	return r.Seed == hex.EncodeToString(sum[:])
}

// begunBy reports whether the holder has begun a refresh and not ended it.
func (r *record) begunBy(holder string) bool {
	return r != nil && r.Intent != nil && r.Intent.Holder == holder
}

// A tempFile is a temporary file with a record that a killed process was storing.
type tempFile struct{ complete bool }

func (l *tempFile) isComplete() bool { return l != nil && l.complete }

// findTempFile returns holder's temporary file with account's record of the given
// generation. The file may be incomplete. It returns nil if there is none.
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
			return &tempFile{complete: true}
		case err != nil:
			found = &tempFile{}
		}
	}
	return found
}

// holders lists the processes that use or have used a state directory.
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
