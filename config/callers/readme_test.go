package callers

import (
	"os"
	"strings"
	"testing"
)

// TestREADME tests that README's example is a file that Parse accepts.
func TestREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(readme), "```yaml\n# yaml-language-server: $schema=")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("README has no example")
	}
	example = strings.ReplaceAll("# "+example, "sha256:…", "sha256:"+strings.Repeat("ab", 32))
	f, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check([]string{"park", "shop"}, []string{"park"}); err != nil {
		t.Error(err)
	}
	if len(f.Callers) != 4 || len(f.Issuers) != 2 || len(f.Limits) != 1 {
		t.Errorf("%+v", f)
	}
}
