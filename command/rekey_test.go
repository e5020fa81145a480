package command

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

func TestRekeyFindsAllRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true, AccessLifetime: time.Minute})
		first, second := newStateKey(t), newStateKey(t)
		variable, path := keyFile(t, first)
		f.environ = append(f.environ, variable)
		f.serve()
		for name := range ports() {
			f.mustAnswer(name)
		}
		writeKeys(t, path, second, first)
		code, out := f.with("rekey", "TICKETPROXY_UPSTREAMS=openticket")
		if code == 0 { // the other upstreams' variables are unknown then
			t.Errorf("exit %d:\n%s", code, out)
		}
		code, out = f.with("rekey")
		for name := range ports() {
			mustPrint(t, code, 0, out, "ok    account "+name+": generation 1, encrypted to "+second.recipient)
		}
		writeKeys(t, path, second)
		for range 3 {
			time.Sleep(time.Minute)
			for name := range ports() {
				f.mustAnswer(name)
			}
		}
		for _, p := range f.sandbox.Providers() {
			if c := p.Counters(); c.Reuses != 0 || c.TokenRequests > 6 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
		if err := os.Rename(filepath.Join(f.dir, "state", "openticket.json"), filepath.Join(f.dir, "state", "old-account.json")); err != nil {
			t.Fatal(err)
		}
		code, out = f.with("rekey")
		mustPrint(t, code, 1, out, `FAIL  account old-account: rewriting record: record cannot be opened: its tokens are encrypted to `+second.recipient+`: it is the access_token of account "openticket"`)
	})
}

func TestRekeyOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		variable, path := keyFile(t, newStateKey(t))
		code, out := f.with("rekey", variable)
		mustPrint(t, code, 0, out, "ok    account openticket: has no record yet")
		code, out = f.with("rekey now", variable)
		mustPrint(t, code, 2, out, "rekey takes no arguments")
		if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out = f.with("rekey", variable)
		mustPrint(t, code, 2, out, "TICKETPROXY_STATE_KEY_FILE: names a file that is not one of age identities: line 1 is not an identity", "hint: make one with age-keygen")
	})
}

// TestRekeyLeavesOthersAlone tests which of the things in the state are records. A Secret may
// have other keys that end in .json, and a directory other files.
//
// What has the name of a configured account is its record, whatever it holds. Anything else is
// a record if it is whole JSON with a format, which is a number, and a generation, or if it is
// broken and begins with a format, as all records do. The rest is somebody else's.
func TestRekeyLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		f.serve()
		f.mustAnswer("openticket")
		f.stop()
		variable, _ := keyFile(t, newStateKey(t))
		good := f.recordFile("openticket")
		others := map[string]string{
			"settings": `{"theme":"dark"}`, "image": `{"format":"png","generation":3}`, "list": `[1]`, "text": "hello",
			"panel": `{"format":1}`, "broken": `{"theme":`,
		}
		damaged := map[string]string{
			"truncated": good[:len(good)/2], "wild": `{"format":1,"generation":18446744073709551615}`,
			"wrong": `{"generation":"x","format":1}`, "newer": `{"format":99}`, "empty": "",
		}
		for _, files := range []map[string]string{others, damaged, {"ticketpark": "hello"}} {
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(f.dir, "state", name+".json"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		code, out := f.with("rekey", variable)
		mustPrint(t, code, 1, out, "ok    account openticket: generation 1, encrypted to ", "FAIL  account ticketpark: rewriting record: ")
		for name, text := range others {
			mustPrint(t, code, 1, out, `note  state: "`+name+`" is not a record of ticketproxy, and was left alone`)
			if f.recordFile(name) != text {
				t.Errorf("%s was changed", name)
			}
		}
		for name := range damaged {
			mustPrint(t, code, 1, out, "FAIL  account "+name+": rewriting record: ")
		}
		for name := range damaged {
			os.Remove(filepath.Join(f.dir, "state", name+".json"))
		}
		os.Remove(filepath.Join(f.dir, "state", "ticketpark.json"))
		code, out = f.with("rekey", variable)
		mustPrint(t, code, 0, out, `"settings" is not a record of ticketproxy`)
	})
}
