package e2e

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	kills      = flag.Int("kills", 300, "how often TestKillAtRandomMoments kills")
	randomSeed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random moments")
)

// binary is the program under test.
var binary string

// binaryVariable names a program to test instead of the one in the parent
// directory.
const binaryVariable = "E2E_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(apiVariable) != "" {
		fmt.Fprintln(os.Stderr, runAPI())
		os.Exit(1)
	}
	flag.Parse()
	// The tests wait rather than compute, so more of them run at once than
	// there are processors.
	flag.Set("test.parallel", "64")
	os.Exit(run(m))
}

func run(m *testing.M) int {
	fmt.Printf("the random moments are those of -seed %d\n", *randomSeed)
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

// newRandom returns a source of its own for each test.
func newRandom(t *testing.T) *rand.Rand {
	name := fnv.New64()
	name.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(*randomSeed, name.Sum64()))
}

// upTo returns a random time below most.
func randomUpTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

// await returns once ok does, and fails the test when that takes too long.
func await(t *testing.T, atMost time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(atMost); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", atMost, what)
		}
	}
}
