package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the README's table of variables")

func TestREADMEListsEveryVariable(t *testing.T) {
	const begin, end = "-update -->\n", "<!-- end of variables -->"
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatal("the README has no markers for the table of variables")
	}
	want := "\n" + markdown() + "\n"
	if *update {
		if err := os.WriteFile("../README.md", []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Error("the README's table differs from the parser's: go test -run TestREADME ./config -update")
	}
}

// markdown returns the variables as two tables, an upstream's and the program's.
func markdown() string {
	const head = "| variable | meaning | default |\n| --- | --- | --- |\n"
	var b strings.Builder
	b.WriteString(head)
	perUpstream := true
	for _, v := range Variables() {
		if v.PerUpstream != perUpstream {
			perUpstream = v.PerUpstream
			b.WriteString("\n" + head)
		}
		name := "`" + v.Name + "`"
		if v.File != "" {
			name += ", or `" + v.File + "`"
		}
		b.WriteString("| " + name + " | " + v.Meaning + " | " + v.Default + " |\n")
	}
	return b.String()
}
