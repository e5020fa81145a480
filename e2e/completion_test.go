package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompletion loads the completion script in each shell and completes two words.
func TestCompletion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "ticketproxy")); err != nil {
		t.Fatal(err)
	}
	for shell, script := range map[string]string{
		"bash": `source <(ticketproxy completion bash)
			COMP_WORDS=(ticketproxy lo) COMP_CWORD=1; _ticketproxy; echo "${COMPREPLY[@]}"
			COMP_WORDS=(ticketproxy login --re) COMP_CWORD=2; _ticketproxy; echo "${COMPREPLY[@]}"`,
		"zsh": `autoload -U compinit; compinit -u -d "$HOME/zcompdump"
			source <(ticketproxy completion zsh)
			compadd() { shift; print -r -- ${(M)@:#$PREFIX*} }
			words=(ticketproxy lo) CURRENT=2 PREFIX=lo; _ticketproxy
			words=(ticketproxy login --re) CURRENT=3 PREFIX=--re; _ticketproxy`,
		"fish": `ticketproxy completion fish | source
			complete -C "ticketproxy lo" | string split -f1 \t
			complete -C "ticketproxy login --re" | string split -f1 \t
			true`,
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			requirePrograms(t, shell)
			cmd := exec.Command(shell, "-c", script)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
			out, err := cmd.CombinedOutput()
			if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != "login --redirect-uri --refresh-token-file" {
				t.Errorf("completed to %q, %v", got, err)
			}
		})
	}
}
