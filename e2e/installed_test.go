package e2e

import (
	"flag"
	"os/exec"
	"strings"
	"testing"
)

var complete = flag.Bool("complete", false, "fail where a browser or a client is not installed, instead of skipping")

// mustHave skips the test, or fails it with -complete, unless all programs are
// installed. Of one that is given with arguments, the run must succeed.
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
			t.Fatalf("%s is not installed, and nothing may be left out: %v", program, err)
		default:
			t.Skipf("LEFT OUT: %s is not installed: %v", program, err)
		}
	}
}
