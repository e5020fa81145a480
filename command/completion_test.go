package command

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCompletionKnowsTheFlags tests that completion offers the flags that each verb's help
// shows, and no others.
func TestCompletionKnowsTheFlags(t *testing.T) {
	t.Parallel()
	flag := regexp.MustCompile(`(?m)^  -([a-z-]+)`)
	for _, v := range verbs() {
		var out bytes.Buffer
		Run(t.Context(), &Env{Stdout: &out, Stderr: &out}, []string{v.name, "--help"})
		declared, offered := map[string]bool{}, map[string]bool{}
		for _, match := range flag.FindAllStringSubmatch(out.String(), -1) {
			declared["--"+match[1]] = true
		}
		for word := range strings.FieldsSeq(words()[v.name]) {
			if strings.HasPrefix(word, "--") {
				offered[word] = true
			}
		}
		if !maps.Equal(declared, offered) {
			t.Errorf("%s declares %v, and completion offers %v", v.name, slices.Sorted(maps.Keys(declared)),
				slices.Sorted(maps.Keys(offered)))
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		if err := Run(t.Context(), &Env{Stdout: &out}, []string{"completion", shell}); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"ticketproxy", "serve", "completion", "--refresh-token-file"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the script of %s lacks %s", shell, want)
			}
		}
	}
	for _, args := range []string{"completion", "completion tcsh", "completion bash zsh"} {
		if err := Run(t.Context(), &Env{}, strings.Fields(args)); err == nil || ExitCode(new(bytes.Buffer), err) != 2 {
			t.Errorf("%s: %v", args, err)
		}
	}
}
