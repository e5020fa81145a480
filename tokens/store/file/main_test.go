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
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"ticketproxy/tokens/store/storetest"
)

// childVariable makes the test binary another process in the story of a test:
// its value is the part that it plays, its argument the directory.
const childVariable = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if part, ok := os.LookupEnv(childVariable); ok {
		if err := play(part, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// play plays a part until stdin ends. What the parent is to know goes to
// stdout, a line each.
func play(part, path string) error {
	unix.Umask(0o777) // no mode may depend on it
	ctx := context.Background()
	d, err := Open(path)
	if err != nil {
		return err
	}
	f := d.Account("park")
	switch part {
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

// A child is this test binary in another process.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
}

func startChild(t *testing.T, part, path string) *child {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, path)
	cmd.Env = append(os.Environ(), childVariable+"="+part)
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

// line waits for the next line that the child writes.
func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("child ended: %v", c.lines.Err())
	}
	return strings.TrimSpace(c.lines.Text())
}

// kill ends the child with SIGKILL, and waits until it is no more.
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
