package e2e

import (
	"flag"
	"os/exec"
	"strings"
	"testing"
)

var complete = flag.Bool("complete", false, "fail instead of skipping where a browser or a client is not installed")

// requirePrograms skips the test unless all programs are installed. With -complete it
// fails the test instead. A program that is given with arguments must also run
// successfully.
func requirePrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		words := strings.Fields(program)
		_, err := exec.LookPath(words[0])
		if err == nil && len(words) > 1 {
			err = exec.Command(words[0], words[1:]...).Run()
		}
		switch {
		case err == nil:
		case *complete:
			t.Fatalf("%s is not installed, and -complete allows no skipped test: %v", program, err)
		default:
			t.Skipf("SKIPPED: %s is not installed: %v", program, err)
		}
	}
}
