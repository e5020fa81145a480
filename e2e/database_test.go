package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A database is a running PostgreSQL server. It can be killed, and started again with its
// data.
type database struct {
	t    *testing.T
	dir  string
	bin  string
	port string
	user *syscall.Credential // the server does not run as root
	cmd  *exec.Cmd
}

// startDatabase starts a new PostgreSQL server until the test ends. Where it is not installed
// the test is skipped, or fails with -complete.
func startDatabase(t *testing.T) *database {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		if *complete {
			t.Fatal("PostgreSQL is not installed, and -complete allows no skipped test: apt-get install postgresql")
		}
		t.Skip("SKIPPED: PostgreSQL is not installed: apt-get install postgresql")
	}
	// A user other than root has no way into TMPDIR, and the path of a socket must be short.
	dir, err := os.MkdirTemp("/tmp", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	d := &database{t: t, dir: dir, bin: bins[len(bins)-1]}
	_, d.port, _ = strings.Cut(freeAddress(t), ":")
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("end of PostgreSQL's log:\n%s", log[max(0, len(log)-4096):])
		}
		os.RemoveAll(dir)
	})
	if os.Getuid() == 0 {
		d.user = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := d.command("initdb", "-D", filepath.Join(dir, "data"), "-U", "postgres",
		"--auth-local=trust", "--auth-host=scram-sha-256").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	d.start()
	return d
}

func (d *database) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(d.bin, name), args...)
	cmd.Dir = d.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: d.user}
	return cmd
}

// start starts the server, and waits until it answers.
func (d *database) start() {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = d.command("postgres", "-D", filepath.Join(d.dir, "data"), "-p", d.port, "-k", d.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "log_statement=all", "-c", "log_parameter_max_length=0")
	d.cmd.Stderr = log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	await(d.t, time.Minute, "PostgreSQL is ready", func() bool {
		return d.command("pg_isready", "-q", "-h", d.dir, "-p", d.port).Run() == nil
	})
}

// stop kills all processes of the server at once.
func (d *database) stop() {
	if d.cmd == nil || d.cmd.ProcessState != nil {
		return
	}
	pid := d.cmd.Process.Pid
	d.cmd.Process.Signal(syscall.SIGSTOP) // so that it has no more children
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		d.t.Error(err)
	}
	d.cmd.Process.Kill()
	var ids []int
	for child := range strings.FieldsSeq(string(children)) {
		if id, err := strconv.Atoi(child); err == nil {
			syscall.Kill(id, syscall.SIGKILL)
			ids = append(ids, id)
		}
	}
	d.cmd.Wait()
	for _, id := range ids {
		awaitProcessEnd(d.t, id)
	}
	os.Remove(filepath.Join(d.dir, "data", "postmaster.pid"))
}

// awaitProcessEnd waits until a killed process has ended. Its memory is shared until then, and a new
// server refuses that.
func awaitProcessEnd(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d has not ended a minute after it was killed", pid)
}

// psql runs SQL as the administrator, and returns the rows.
func (d *database) psql(sql string) string {
	d.t.Helper()
	out, err := d.command("psql", "-h", d.dir, "-p", d.port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qAtc", sql).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// login creates a user, who has the right to do something, and returns the URL of its state.
func (d *database) login(user, password string, rights ...string) string {
	d.psql("CREATE ROLE " + user + " LOGIN PASSWORD '" + password + "'")
	for _, right := range rights {
		d.psql("GRANT " + right + " TO " + user)
	}
	return "postgres://" + user + ":" + password + "@127.0.0.1:" + d.port + "/postgres"
}

// statements returns how many statements the server has logged of each kind.
func (d *database) statements() map[string]int {
	d.t.Helper()
	log, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		d.t.Fatal(err)
	}
	counts := map[string]int{}
	for kind, text := range map[string]string{
		"reads": ": SELECT record::text", "writes": ": WITH swapped", "connections": ": show transaction_read_only",
		"listens": ": LISTEN ticketproxy_state",
	} {
		counts[kind] = strings.Count(string(log), text)
	}
	counts["statements"] = strings.Count(string(log), "LOG:  execute ") + strings.Count(string(log), "LOG:  statement: ")
	return counts
}
