package e2e

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var (
	kills      = flag.Int("kills", 300, "how many times TestKillAtRandomMoments kills the program")
	randomSeed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the random moments")
)

// binary is the program under test.
var binary string

// binaryVariable gives the path of a built program to test. Without it the tests
// build the one in the parent directory.
const binaryVariable = "E2E_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(apiVariable) != "" {
		fmt.Fprintln(os.Stderr, runAPI())
		os.Exit(1)
	}
	flag.Parse()
	// Programs inherit an ignored SIGHUP, as under nohup(1), but no handler.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	// The tests mostly wait, so more of them run in parallel than there are CPUs.
	flag.Set("test.parallel", "32")
	os.Exit(run(m))
}

func run(m *testing.M) int {
	fmt.Printf("random moments: -seed %d\n", *randomSeed)
	if binary = os.Getenv(binaryVariable); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ticketproxy-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "ticketproxy")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// newRandom returns a random source that depends on the seed and the test's name.
func newRandom(t *testing.T) *rand.Rand {
	name := fnv.New64()
	name.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(*randomSeed, name.Sum64()))
}

// randomUpTo returns a random duration below most.
func randomUpTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

// await polls ok until it returns true, and fails the test after atMost.
func await(t *testing.T, atMost time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(atMost); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out after %v waiting for this: %s", atMost, what)
		}
	}
}
