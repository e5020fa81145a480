//go:build cluster

package postgres

import (
	"strings"
	"testing"

	"ticketproxy/hint"
	"ticketproxy/tokens/store/storetest"
)

// TestServerRehearsal tests that check finds what only a write can show.
func TestServerRehearsal(t *testing.T) {
	s := startServer(t)
	d := s.open(t, "postgres", "", s.addr())
	storetest.MustSwap(t, d.Account("park"), "", storetest.Record(1))
	s.psql(t, "CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
	for _, tt := range []struct{ name, sql, undo, err, hint string }{
		{"a constraint", "ALTER TABLE ticketproxy_access ADD CONSTRAINT short CHECK (length(account) < 20)",
			"ALTER TABLE ticketproxy_access DROP CONSTRAINT short",
			`new row for relation "ticketproxy_access" violates check constraint "short"`, "see that the tables are as these statements create them"},
		{"a trigger", "CREATE TRIGGER x BEFORE INSERT ON ticketproxy_access FOR EACH ROW EXECUTE FUNCTION drop_row()",
			"DROP TRIGGER x ON ticketproxy_access", `table "public".ticketproxy_access does not keep what is written to it`, "no rule, trigger or policy"},
		{"a trigger before changes", "CREATE TRIGGER x BEFORE UPDATE ON ticketproxy_state FOR EACH ROW EXECUTE FUNCTION drop_row()",
			"DROP TRIGGER x ON ticketproxy_state", `table "public".ticketproxy_state does not keep what is written to it`, "no rule, trigger or policy"},
		{"a trigger before flags", "CREATE TRIGGER x BEFORE UPDATE OF refused ON ticketproxy_access FOR EACH ROW EXECUTE FUNCTION drop_row()",
			"DROP TRIGGER x ON ticketproxy_access", `table "public".ticketproxy_access does not keep what is written to it`, "no rule, trigger or policy"},
	} {
		s.psql(t, tt.sql)
		if _, err := d.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("%s: %v; hint %q", tt.name, err, hint.Of(err))
		}
		s.psql(t, tt.undo)
		if _, err := d.Probe(t.Context()); err != nil {
			t.Errorf("without %s: %v", tt.name, err)
		}
	}
}

// TestServerProbeLeavesNothing tests that check leaves no table, no row, and tells nobody.
func TestServerProbeLeavesNothing(t *testing.T) {
	s := startServer(t)
	d := s.open(t, "postgres", "", s.addr())
	probe := func() {
		t.Helper()
		if proved, err := d.Probe(t.Context()); err != nil {
			t.Errorf("Probe: %q, %v", proved, err)
		}
	}
	probe()
	if got := s.psql(t, "SELECT relname FROM pg_class WHERE relname LIKE 'ticketproxy%'"); got != "" {
		t.Errorf("Probe leaves %s", got)
	}
	storetest.MustSwap(t, d.Account("park"), "", storetest.Record(1))
	told := make(chan string, 10)
	d.watch.subscribers = map[topic]*subscriber{}
	for _, channel := range []string{stateChannel, accessChannel} {
		d.watch.subscribers[topic{channel, "park"}] = &subscriber{told: func(value string) { told <- value }}
	}
	conn, err := d.watch.open(t.Context(), func(channel, payload string) { told <- channel + " " + payload })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for len(told) > 0 { // what was there before
		<-told
	}
	before := s.psql(t, "SELECT xmin, * FROM ticketproxy_state; SELECT xmin, * FROM ticketproxy_access")
	probe()
	if after := s.psql(t, "SELECT xmin, * FROM ticketproxy_state; SELECT xmin, * FROM ticketproxy_access"); after != before {
		t.Errorf("Probe changes\n%s\nto\n%s", before, after)
	}
	if err := d.notify(t.Context(), "end"); err != nil {
		t.Fatal(err)
	}
	for {
		if err := conn.WaitForNotification(t.Context()); err != nil {
			t.Fatal(err)
		}
		switch got := <-told; {
		case got == stateChannel+"  end":
			return
		case !strings.HasPrefix(got, stateChannel+"  "): // the probe's own proof that notifications arrive
			t.Errorf("Probe tells of %s", got)
		}
	}
}
