//go:build cluster

package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// A server is a PostgreSQL server that can be killed, and started again with its data.
type server struct {
	dir  string
	bin  string
	user *syscall.Credential // PostgreSQL does not run as root
	port string
	cmd  *exec.Cmd
}

// startServer starts a new server until the test ends.
func startServer(t *testing.T) *server {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		t.Fatal("PostgreSQL is not installed: apt-get install postgresql")
	}
	// A user other than root has no way into TMPDIR, and the path of a socket must be short.
	dir, err := os.MkdirTemp("/tmp", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, bin: bins[len(bins)-1], port: freePort(t)}
	t.Cleanup(func() {
		s.kill(t)
		os.RemoveAll(dir)
	})
	if os.Getuid() == 0 {
		s.user = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "LATIN1", "--locale=C"))
	s.start(t)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) addr() string { return "127.0.0.1:" + s.port }

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.user}
	return cmd
}

func (s *server) run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// psql runs SQL as the administrator.
func (s *server) psql(t *testing.T, sql string) string {
	t.Helper()
	return s.run(t, s.command("psql", "-h", s.dir, "-p", s.port, "-U", "postgres", "-d", "postgres",
		"-v", "ON_ERROR_STOP=1", "-qAtc", sql))
}

// start starts the server, and waits until it answers.
func (s *server) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.command("postgres", "-D", s.data(), "-p", s.port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1")
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if s.command("pg_isready", "-q", "-h", s.dir, "-p", s.port).Run() == nil {
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("PostgreSQL is not ready after a minute:\n%s", text)
		}
	}
}

// kill kills all processes of the server at once.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	s.cmd.Process.Signal(syscall.SIGSTOP) // so that it has no more children
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Error(err)
	}
	s.cmd.Process.Kill()
	var ids []int
	for child := range strings.FieldsSeq(string(children)) {
		if id, err := strconv.Atoi(child); err == nil {
			syscall.Kill(id, syscall.SIGKILL)
			ids = append(ids, id)
		}
	}
	s.cmd.Wait()
	for _, id := range ids {
		awaitEnd(t, id)
	}
	s.cmd = nil
	os.Remove(filepath.Join(s.data(), "postmaster.pid"))
}

// awaitEnd waits until a killed process has ended. Its memory is shared until then, and a new
// server refuses that.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d has not ended a minute after it was killed", pid)
}

// copyData copies the data of the stopped server.
func (s *server) copyData(t *testing.T, from, to string) {
	t.Helper()
	s.kill(t)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	cp := exec.Command("cp", "-a", from, to)
	s.run(t, cp)
	s.start(t)
}

// open returns the state in a schema of a database, as a user.
func (s *server) open(t *testing.T, user, schema, address string) *Database {
	t.Helper()
	d, err := Open("postgres://" + user + "@" + address + "/postgres?sslmode=disable&search_path=" + url.PathEscape(schema))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestServerContract tests the contract of a store on a real server. Each part has a schema
// of its own, whose name must be quoted.
func TestServerContract(t *testing.T) {
	s := startServer(t)
	var schemas atomic.Int64
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
			schema := fmt.Sprintf("State %d", schemas.Add(1))
			s.psql(t, "CREATE SCHEMA "+quoted(schema))
			return s.open(t, "postgres", schema, s.addr()).Account("park"), s.open(t, "postgres", schema, s.addr()).Account("park")
		})
	})
}

// TestServerCopy tests that the copy for readers changes when it is another one to them, and
// not for another encryption of the same token.
func TestServerCopy(t *testing.T) {
	s := startServer(t)
	park := s.open(t, "postgres", "", s.addr()).Account("park")
	version := tokens.Version("")
	copied := ""
	for _, step := range []struct {
		name    string
		change  func(*tokens.Record)
		changed bool
	}{
		{"the first record", func(r *tokens.Record) { r.Recipient = "age1x" }, true},
		{"another encryption", func(r *tokens.Record) { r.Grant.AccessToken = secret.New(`"\\new\\"`) }, false},
		{"a third one", func(r *tokens.Record) { r.Grant.AccessToken = secret.New("third") }, false},
		{"an intent", func(r *tokens.Record) { r.Intent = &tokens.Intent{ID: "x"} }, false},
		{"another recipient", func(r *tokens.Record) { r.Recipient = "age1y" }, true},
		{"another grant", func(r *tokens.Record) { r.Grant.Obtained = r.Grant.Obtained.Add(time.Second) }, true},
		{"no access token", func(r *tokens.Record) { r.Grant.AccessToken = secret.String{} }, true},
		{"a death", func(r *tokens.Record) { r.Dead = &tokens.Death{Reason: "\u20ac"} }, true},
	} {
		r := storetest.Record(1)
		if version != "" {
			r = storetest.MustLoad(t, park).Record
		}
		step.change(&r)
		version = storetest.MustSwap(t, park, version, r)
		now := s.psql(t, "SELECT record FROM ticketproxy_access")
		if (now != copied) != step.changed {
			t.Errorf("%s: the copy is %s, and was %s", step.name, now, copied)
		}
		copied = now
	}
}

// TestServerStoresWithoutCopy tests that a readers' table which somebody has changed costs no
// record, and that it is told. The record's conflicts stay conflicts.
func TestServerStoresWithoutCopy(t *testing.T) {
	s := startServer(t)
	s.psql(t, "CREATE ROLE refresher LOGIN; GRANT CREATE ON SCHEMA public TO refresher")
	d := s.open(t, "refresher", "", s.addr())
	var told []error
	d.ReportCopies(func(err error, exists bool) {
		if !exists {
			t.Errorf("%v: it says that there is no table", err)
		}
		told = append(told, err)
	})
	park := d.Account("park")
	version := storetest.MustSwap(t, park, "", storetest.Record(1))
	for i, step := range []struct{ break_, mend, want string }{
		{"ALTER TABLE ticketproxy_access RENAME COLUMN generation TO number", "ALTER TABLE ticketproxy_access RENAME COLUMN number TO generation", `column "generation"`},
		{"REVOKE UPDATE ON ticketproxy_access FROM refresher", "GRANT UPDATE ON ticketproxy_access TO refresher", `this user may not write to "public".ticketproxy_access`},
		{"ALTER TABLE ticketproxy_access ADD CHECK (generation < 0) NOT VALID", "ALTER TABLE ticketproxy_access DROP CONSTRAINT ticketproxy_access_generation_check", "violates check constraint"},
		{"ALTER TABLE ticketproxy_access ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "ALTER TABLE ticketproxy_access NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY", "row-level security"},
	} {
		generation := uint64(3*i + 1)
		told = nil
		s.psql(t, step.break_)
		if _, err := park.Swap(t.Context(), "another version", storetest.Record(generation+1)); !errors.Is(err, tokens.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", step.break_, err)
		}
		version = storetest.MustSwap(t, park, version, storetest.Record(generation+1))
		version = storetest.MustSwap(t, park, version, storetest.Record(generation+2))
		s.psql(t, step.mend)
		version = storetest.MustSwap(t, park, version, storetest.Record(generation+3))
		if len(told) != 2 || told[0] == nil || !strings.Contains(told[0].Error(), step.want) || told[1] != nil {
			t.Errorf("%s: told %v", step.break_, told)
		}
		if got := s.psql(t, "SELECT record->>'generation' FROM ticketproxy_access"); strings.TrimSpace(got) != fmt.Sprint(generation+3) {
			t.Errorf("after %s: the copy has generation %s", step.mend, got)
		}
	}
}

// TestServerFaults tests the contract while a real server fails.
func TestServerFaults(t *testing.T) {
	s := startServer(t)
	s.psql(t, "ALTER ROLE postgres SET synchronous_commit = off")
	backup := filepath.Join(s.dir, "backup")
	storetest.RunEngine(t, storetest.Engine{
		Open: func(t *testing.T, place, address string) tokens.Store {
			if address == "" {
				address = s.addr()
			}
			s.psql(t, "CREATE SCHEMA IF NOT EXISTS "+quoted(place))
			return s.open(t, "postgres", place, address).Account("park")
		},
		Addr:    s.addr(),
		Kill:    s.kill,
		Start:   s.start,
		Backup:  func(t *testing.T) { s.copyData(t, s.data(), backup) },
		Restore: func(t *testing.T) { s.copyData(t, backup, s.data()) },
		Put: func(t *testing.T, place, text string) {
			s.psql(t, "UPDATE "+quoted(place)+".ticketproxy_state SET record = '"+text+"' WHERE account = 'park'")
		},
		Touch: func(t *testing.T, place string) {
			s.psql(t, "UPDATE "+quoted(place)+".ticketproxy_state SET updated_at = updated_at - interval '1 day'; "+
				"INSERT INTO "+quoted(place)+".ticketproxy_state (account, record) VALUES ('shop', '{}')")
		},
		Step: 16,
	})
}
