package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests with PostgreSQL are not parallel, as those with an API server.

// newDatabaseReplicas returns instances that share a database as their state.
func newDatabaseReplicas(t *testing.T, url string, n int, providers map[string]*provider) []*proxy {
	t.Helper()
	var all []*proxy
	for range n {
		all = append(all, newProxy(t, t.TempDir(), providers, "TICKETPROXY_STATE="+url))
	}
	return all
}

// sayStatements says what the database was asked for.
func sayStatements(cost map[string]int) string {
	return fmt.Sprintf("%d statements on %d connections, of them reads %d, writes %d, listeners %d",
		cost["statements"], cost["connections"], cost["reads"], cost["writes"], cost["listens"])
}

// TestPostgresReads counts what five replicas cost the database in their first 40 s.
func TestPostgresReads(t *testing.T) {
	d := startDatabase(t)
	url := d.login("ticketproxy", "canary-0123456789", "CREATE ON SCHEMA public")
	providers := one(startSandbox(t, time.Hour), "openticket")
	before := d.statements()
	all := newDatabaseReplicas(t, url, 5, providers)
	for _, p := range all {
		p.start()
	}
	for _, p := range all {
		p.awaitUsable("openticket", 30*time.Second)
	}
	time.Sleep(40 * time.Second)
	cost := d.statements()
	for kind, n := range before {
		cost[kind] -= n
	}
	t.Logf("5 replicas in 40 s of hour-long tokens: %s", sayStatements(cost))
	if cost["reads"] > 30 {
		t.Errorf("%d reads, want at most 30", cost["reads"])
	}
	if n := providers["openticket"].counters(); n.Redemptions != 1 || n.Reuses != 0 {
		t.Errorf("%+v, want one redemption", n)
	}
}

// TestPostgresReplicas has five replicas share one account in a database.
func TestPostgresReplicas(t *testing.T) {
	d := startDatabase(t)
	url := d.login("ticketproxy", "canary-0123456789", "CREATE ON SCHEMA public")
	providers := one(startSandbox(t, 5*time.Second), "openticket")
	shareAccount(t, engine{stop: d.stop, start: d.start, cost: d.statements, say: sayStatements},
		newDatabaseReplicas(t, url, 5, providers), providers["openticket"])
}

// TestPostgresFromOutside checks, logs in and serves with a database whose tables somebody
// else creates, and searches all output for the password.
func TestPostgresFromOutside(t *testing.T) {
	const password = "canary-0123456789"
	d := startDatabase(t)
	url := d.login("ticketproxy", password)
	providers := one(startSandbox(t, time.Hour), "socialboards")
	file := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, t.TempDir(), providers, "TICKETPROXY_STATE=", "TICKETPROXY_STATE_FILE="+file)
	run := func(stdin string, args ...string) (string, int) {
		cmd := exec.Command(binary, args...)
		cmd.Env = p.environ()
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		if strings.Contains(string(out), password) {
			t.Errorf("%v shows the password:\n%s", args, out)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := run("", "check")
	if code != 1 || !strings.Contains(out, "this user may not create it") || !strings.Contains(out, `CREATE TABLE IF NOT EXISTS "public".ticketproxy_state`) {
		t.Errorf("check without tables: exit code %d\n%s", code, out)
	}
	// The hint is what the administrator needs.
	_, statements, _ := strings.Cut(out, "have an administrator of the database run: ")
	statements, _, _ = strings.Cut(statements, "\n")
	d.psql(statements)
	seed := providers["socialboards"].seed
	providers["socialboards"].seed = ""
	if out, code = run(seed+"\n", "login", "socialboards"); code != 0 || !strings.Contains(out, "logged in, generation 1") {
		t.Fatalf("login: exit code %d\n%s", code, out)
	}
	if out, code = run("", "check"); code != 0 || !strings.Contains(out, "ticketproxy_state can be read and written to\n") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
	if got := d.psql("SELECT account, record->>'generation' FROM ticketproxy_state"); got != "socialboards|1" {
		t.Errorf("records: %s", got)
	}
	p.start()
	p.awaitUsable("socialboards", 30*time.Second)
	p.mustServe("socialboards")

	// A second login is taken up at once.
	providers["socialboards"].reseed()
	seed, providers["socialboards"].seed = providers["socialboards"].seed, ""
	if out, code = run(seed+"\n", "login", "socialboards"); code != 0 {
		t.Fatalf("second login: exit code %d\n%s", code, out)
	}
	await(t, time.Second, "the instance has the new login", func() bool { return p.status("socialboards").Generation >= 2 })

	d.psql("DELETE FROM ticketproxy_state")
	p.mustServe("socialboards")
	d.psql("SELECT pg_notify('ticketproxy_state', 'socialboards ')")
	await(t, 30*time.Second, "the record is put back", func() bool {
		return d.psql("SELECT count(*) FROM ticketproxy_state") == "1"
	})
	// A reader may see the access token, and say that it was refused; and nothing else.
	d.login("reader", password, "SELECT, UPDATE (refused) ON ticketproxy_access")
	if got := d.psql("SET ROLE reader; SELECT record->>'access_token' <> '', record->>'refresh_token' FROM ticketproxy_access"); got != "t|" {
		t.Errorf("a reader sees %s", got)
	}
	for _, statement := range []string{
		"TABLE ticketproxy_state", "DELETE FROM ticketproxy_state", "DELETE FROM ticketproxy_access", "UPDATE ticketproxy_access SET generation = 9",
	} {
		got := d.psql("SET ROLE reader; DO $$ BEGIN EXECUTE '" + statement + "'; RAISE EXCEPTION 'allowed'; " +
			"EXCEPTION WHEN insufficient_privilege THEN NULL; END $$")
		if got != "" {
			t.Errorf("%s: %s", statement, got)
		}
	}
	if stderr := p.stderr.String(); strings.Contains(stderr, password) {
		t.Errorf("the log has the password:\n%s", stderr)
	}
	d.stop()
	if out, code = run("", "check"); code != 1 || !strings.Contains(out, "can be reached") {
		t.Errorf("check without the server: exit code %d\n%s", code, out)
	}
	await(t, 10*time.Second, "status", func() bool { return p.status("socialboards").Usable })
	p.mustServe("socialboards")
}
