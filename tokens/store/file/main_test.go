package file

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"ticketproxy/tokens/store/storetest"
)

// childVariable makes the test binary run as a child process of a test. Its value is the
// child's role; the directory is the argument.
const childVariable = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(childVariable); ok {
		if err := runChild(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// runChild runs a role until stdin ends. It prints its results, one on each line.
func runChild(role, path string) error {
	unix.Umask(0o777) // no file mode may depend on the umask
	ctx := context.Background()
	d, err := Open(path)
	if err != nil {
		return err
	}
	f := d.Account("park")
	switch role {
	case "stay":
		fmt.Println(d.Holder())
	case "lock":
		if _, err := f.lock(ctx); err != nil {
			return err
		}
		fmt.Println("locked")
	case "write":
		for {
			generation, err := storetest.Increment(ctx, f)
			if err != nil {
				return err
			}
			fmt.Println(generation)
		}
	case "fill":
		_, version, err := f.Load(ctx)
		if err != nil {
			return err
		}
		signal.Ignore(unix.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 20, Max: 20}); err != nil {
			return err
		}
		_, err = f.Swap(ctx, version, storetest.Record(2))
		fmt.Printf("%v\n", err)
		return d.Close()
	case "begin":
		if _, err := f.Swap(ctx, "", storetest.Record(1)); err != nil {
			return err
		}
		return d.Close()
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A child is a child process that runs this test binary.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
}

func startChild(t *testing.T, role, path string) *child {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, path)
	cmd.Env = append(os.Environ(), childVariable+"="+role)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return &child{cmd, bufio.NewScanner(stdout)}
}

// line waits for the child's next line.
func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("child ended: %v", c.lines.Err())
	}
	return strings.TrimSpace(c.lines.Text())
}

// kill ends the child with SIGKILL and waits for its end.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait() // reports the signal
}

func openTest(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// noForks keeps other tests from starting processes until the test ends. A child has the
// locks of its parent until it executes its program.
func noForks(t *testing.T) {
	syscall.ForkLock.RLock()
	t.Cleanup(syscall.ForkLock.RUnlock)
}
