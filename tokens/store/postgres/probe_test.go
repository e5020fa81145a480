package postgres

import "testing"

// TestProbeAgain tests that check tries again after another process has created the tables at
// the same time, which fails its transaction.
func TestProbeAgain(t *testing.T) {
	t.Parallel()
	row := [][]string{{"", "", ""}}
	f := startFake(t, answer{text: "fsync", rows: [][]string{{"on", "on"}}}, answer{text: "echo"},
		answer{text: "WITH swapped", err: refusal("ERROR", failedTransaction), once: true},
		answer{text: "WITH swapped", rows: row}, answer{text: "SELECT record", rows: row}, answer{text: "WITH flagged", rows: row},
		answer{text: "pg_attribute", rows: shaped(stateColumns()), once: true}, answer{text: "pg_attribute", rows: shaped(accessColumns())})
	if proved, err := f.open(t).Probe(t.Context()); err != nil || f.count("ROLLBACK") != 2 {
		t.Errorf("Probe: %q, %v after %d tries", proved, err, f.count("ROLLBACK"))
	}
}
