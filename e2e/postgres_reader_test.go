package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestPostgresReaders has a reader with a user of its own serve through many refreshes of
// short tokens. No app may see an error, also when the API revokes the access token, and the
// user may see nothing of the state.
func TestPostgresReaders(t *testing.T) {
	const password = "canary-0123456789"
	d := startDatabase(t)
	account := startSandbox(t, 5*time.Second)["openticket"]
	refresher := newDatabaseReplicas(t, d.login("ticketproxy", password, "CREATE ON SCHEMA public"), 1,
		map[string]*provider{"openticket": account})[0]
	reader := newReaderOf(t, account, "TICKETPROXY_STATE="+d.login("ticketproxy_reader", password))
	check := func(p *proxy, code int, want ...string) {
		t.Helper()
		cmd := exec.Command(binary, "check")
		cmd.Env = p.environ()
		out, _ := cmd.CombinedOutput()
		for _, want := range want {
			if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) ||
				strings.Contains(string(out), password) {
				t.Errorf("check: exit code %d, want %d and %q:\n%s", got, code, want, out)
			}
		}
	}
	check(refresher, 0, "note  readers: access tokens for readers will be written to \"public\".ticketproxy_access, which is not there yet")
	check(reader, 1, `table "public".ticketproxy_access does not exist`, "hint: run a refresher")
	refresher.start()
	refresher.awaitUsable("openticket", 30*time.Second)
	check(reader, 1, `this user may not SELECT from "public".ticketproxy_access`,
		`hint: have an administrator of the database run: `+
			`GRANT SELECT, UPDATE (refused) ON "public".ticketproxy_access TO "ticketproxy_reader"`)
	d.psql("GRANT SELECT, UPDATE (refused) ON ticketproxy_access TO ticketproxy_reader")
	check(reader, 0, "ticketproxy_access can be read\n", "account openticket: generation ")
	check(refresher, 0, "note  readers: access tokens for readers are written to \"public\".ticketproxy_access")

	reader.start()
	reader.awaitUsable("openticket", 30*time.Second)
	before, began := d.statements(), time.Now()
	l := startLoad(reader, "openticket", 20*time.Millisecond)
	for range 2 {
		time.Sleep(*clusterTime / 8)
		old := refresher.status("openticket").Generation
		for _, p := range []*proxy{refresher, reader} { // so that no token is revoked that the reader does not have yet
			await(t, 30*time.Second, "both have the next token", func() bool { return p.status("openticket").Generation > old })
		}
		account.revoke()
	}
	time.Sleep(*clusterTime / 4)
	served, failed, example := l.end()
	if len(failed) > 0 {
		t.Errorf("apps of the reader saw %v, for example %s", failed, example)
	}
	cost := d.statements()
	for kind, n := range before {
		cost[kind] -= n
	}
	n := account.counters()
	t.Logf("%d requests of a reader in %v, %d redemptions; both: %s", served, time.Since(began).Round(time.Second),
		n.Redemptions, sayStatements(cost))
	if n.MaxRedemptions != 1 || n.Reuses != 0 || n.APIUnauthorized == 0 {
		t.Errorf("%+v", n)
	}
	for _, statement := range []string{
		"TABLE ticketproxy_state", "SELECT account FROM ticketproxy_state", "DELETE FROM ticketproxy_state",
		"UPDATE ticketproxy_state SET record = record", "UPDATE ticketproxy_access SET record = record",
		"INSERT INTO ticketproxy_access SELECT * FROM ticketproxy_access", "DELETE FROM ticketproxy_access",
	} {
		got := d.psql("SET ROLE ticketproxy_reader; DO $$ BEGIN EXECUTE '" + statement + "'; RAISE EXCEPTION 'allowed'; " +
			"EXCEPTION WHEN insufficient_privilege THEN NULL; END $$")
		if got != "" {
			t.Errorf("%s: %s", statement, got)
		}
	}
	d.psql("GRANT ticketproxy TO ticketproxy_reader")
	check(reader, 0, "warn  access tokens: this user may read \"public\".ticketproxy_state, which has the refresh tokens")
}
