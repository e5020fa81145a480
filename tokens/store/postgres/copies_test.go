package postgres

import (
	"errors"
	"strings"
	"testing"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// TestCopyIsReported tests that a record is stored where its copy for readers may not be
// written, and that this is told once, with what helps and whether there is a table for readers.
func TestCopyIsReported(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	d := f.open(t)
	var errs []error
	var exist []bool
	d.ReportCopies(func(err error, exists bool) { errs, exist = append(errs, err), append(exist, exists) })
	const none, denied, all = "none", "denied", "all"
	const swap, swapAndCopy = "WITH swapped", "copied AS"
	for _, step := range []struct {
		name, tables string
		refused      string // code of the refusal of the copy
		want         string // of the error and the hint; "again" is no error, and "" no report
		exists       bool
		statements   int
	}{
		{"all is well", all, "", "", false, 1},
		{"no table", none, "", `"public".ticketproxy_access is not there, and this user may not create it; hint: have an administrator of the database run: CREATE TABLE`, false, 1},
		{"still none", none, "", "", false, 1},
		{"no right", denied, "", `this user may not write to "public".ticketproxy_access; hint: have an administrator of the database run: GRANT INSERT, UPDATE ON "public".ticketproxy_access TO "me"`, true, 1},
		{"still no right", denied, "", "", false, 1},
		{"a right", all, "", "again", true, 1},
		{"another table", all, "42703", `writing access tokens to "public".ticketproxy_access: `, true, 2},
		{"still another", all, "42703", "", false, 2},
		{"the right table", all, "", "again", true, 1},
		{"a trigger", all, "P0001", `writing access tokens to "public".ticketproxy_access: `, true, 2},
	} {
		row := func(id, schema, denied string) []string {
			return []string{"me", "public", "t", "t", "f", id, schema, denied, "f"}
		}
		access := map[string][]string{none: row("", "", ""), denied: row("2", "public", "INSERT, UPDATE"), all: row("2", "public", "")}
		f.set(answer{text: "to_regclass", rows: [][]string{row("1", "public", ""), access[step.tables]}})
		f.set(answer{text: swap, rows: [][]string{{"", "", ""}}})
		if step.refused != "" {
			f.set(answer{text: swapAndCopy, err: refusal("ERROR", step.refused)})
		}
		before := f.count(swap)
		errs, exist = nil, nil
		if _, err := d.Account("park").Swap(t.Context(), "v", storetest.Record(2)); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if n := f.count(swap) - before; n != step.statements {
			t.Errorf("%s: %d statements, want %d", step.name, n, step.statements)
		}
		switch {
		case step.want == "" && len(errs) == 0:
		case len(errs) != 1 || exist[0] != step.exists || (errs[0] == nil) != (step.want == "again"),
			errs[0] != nil && !strings.Contains(errs[0].Error()+"; hint: "+hint.Of(errs[0]), step.want):
			t.Errorf("%s: %v, exists %v", step.name, errs, exist)
		}
		for _, err := range errs {
			requireNoCanary(t, err)
		}
	}
}

// TestCopyIsNotToBlame tests that a swap that fails without the copy, too, is an error of the
// state, and that one whose outcome is not known is not done again.
func TestCopyIsNotToBlame(t *testing.T) {
	t.Parallel()
	for code, statements := range map[string]int{"42501": 2, "53100": 1, "57014": 1, "08P01": 1} {
		f := startFake(t, answer{text: "WITH swapped", err: refusal("ERROR", code)})
		d := f.open(t)
		d.ReportCopies(func(err error, _ bool) { t.Errorf("%s: told %v", code, err) })
		_, err := d.Account("park").Swap(t.Context(), "v", storetest.Record(2))
		if n := f.count("WITH swapped"); err == nil || n != statements || errors.Is(err, tokens.ErrUnknown) != (code == "08P01") {
			t.Errorf("%s: %v after %d statements, want %d", code, err, n, statements)
		}
	}
}
