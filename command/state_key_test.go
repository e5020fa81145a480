package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"ticketproxy/sandbox"
)

// A stateKey is an identity of the state.
type stateKey struct{ identity, recipient string }

func newStateKey(t *testing.T) stateKey {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return stateKey{i.String(), i.Recipient().String()}
}

// keyFile makes an identity file, and returns the variable that names it.
func keyFile(t *testing.T, keys ...stateKey) (variable, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	writeKeys(t, path, keys...)
	return "TICKETPROXY_STATE_KEY_FILE=" + path, path
}

func writeKeys(t *testing.T, path string, keys ...stateKey) {
	t.Helper()
	text := "# created: 2026-01-01T00:00:00Z\n"
	for _, k := range keys {
		text += k.identity + "\n"
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// with runs a verb with more variables, and returns its exit code and output.
func (f *fixture) with(verb string, more ...string) (int, string) {
	f.t.Helper()
	out := new(lockedBuffer)
	p := f.env()
	p.Environ, p.Stdout, p.Stderr = append(p.Environ, more...), out, out
	code := ExitCode(p.Stderr, Run(f.t.Context(), p, strings.Fields(verb)))
	return code, out.String()
}

// recordFile returns the file of an account's record.
func (f *fixture) recordFile(account string) string {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, "state", account+".json"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

func TestEncryptedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true, AccessLifetime: time.Minute})
		f.serve()
		for name := range ports() {
			f.mustAnswer(name)
		}
		clear := f.stored("openticket")
		f.stop()

		key := newStateKey(t)
		variable, _ := keyFile(t, key)
		code, out := f.with("check", variable)
		mustPrint(t, code, 0, out, "account openticket: generation 1, refreshed ", ", in clear\n",
			"warn  account openticket: its record is in clear until it is next written; to do that now: ticketproxy rekey")
		code, out = f.with("rekey", variable)
		mustPrint(t, code, 0, out, "ok    account openticket: generation 1, encrypted to "+key.recipient, "account socialboards", "account ticketpark")
		mustNotShow(t, "the record", f.recordFile("openticket"), clear...)
		code, out = f.with("check", variable)
		mustPrint(t, code, 0, out, "account openticket: generation 1, refreshed ", ", encrypted to "+key.recipient+"\n")
		if strings.Contains(out, "in clear") {
			t.Errorf("check says:\n%s", out)
		}

		f.environ = append(f.environ, variable)
		f.serve()
		var shown []string
		for range 3 {
			for name := range ports() {
				f.mustAnswer(name)
			}
			time.Sleep(time.Minute)
		}
		_, status := f.admin("/status")
		if strings.Count(status, `"encrypted_to": "`+key.recipient)+strings.Count(status, `"encrypted_to":"`+key.recipient) != 3 {
			t.Errorf("status: %s", status)
		}
		f.stop()
		for _, p := range f.sandbox.Providers() {
			if c := p.Counters(); c.Reuses != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
			shown = append(shown, f.recordFile(p.Name))
		}
		for _, record := range shown {
			mustNotShow(t, "a record", record, append(clear, key.identity)...)
			if !strings.Contains(record, `"format": 2`) || !strings.Contains(record, key.recipient) {
				t.Errorf("a record after refreshes:\n%s", record)
			}
		}
		mustNotShow(t, "output", f.output.String(), key.identity)
	})
}

// TestTheKeyOfTheStateIsMissing tests that a server without the right key overwrites
// nothing, says what is wrong, and goes on once the file has the key.
func TestTheKeyOfTheStateIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true})
		key, other := newStateKey(t), newStateKey(t)
		right, _ := keyFile(t, key)
		environ := f.environ
		f.environ = append(f.environ, right)
		f.serve()
		f.mustAnswer("openticket")
		f.stop()
		before := f.recordFile("openticket")

		wrong, path := keyFile(t, other)
		f.environ = append(environ[:len(environ):len(environ)], wrong, "TICKETPROXY_OPENTICKET_REFRESH_TOKEN="+f.sandbox.OpenTicket.Seed())
		f.serve()
		res, body, err := f.ask("openticket")
		if err != nil || res.Header.Get("Ticketproxy-Error") != "token_unavailable" || !strings.Contains(body, "the state cannot be read") {
			t.Errorf("without the key: %v %v %s", res, err, body)
		}
		advice := "add the identity of " + key.recipient + " to the file of TICKETPROXY_STATE_KEY_FILE"
		if _, status := f.admin("/status"); !strings.Contains(status, advice) || !strings.Contains(status, "record cannot be opened") {
			t.Errorf("status: %s", status)
		}
		code, out := f.with("check")
		mustPrint(t, code, 1, out, "FAIL  account openticket: record cannot be opened: its tokens are encrypted to "+key.recipient, "hint: "+advice)
		code, out = f.with("rekey")
		mustPrint(t, code, 1, out, "FAIL  account openticket: rewriting record: record cannot be opened", "hint: "+advice)
		code, out = f.login(pipe(), f.allow, "openticket")
		mustPrint(t, code, 1, out, "opening account openticket: record cannot be opened", "hint: "+advice)
		if after := f.recordFile("openticket"); after != before {
			t.Error("the record was written over")
		}
		asked := f.sandbox.OpenTicket.Counters().TokenRequests

		writeKeys(t, path, other, key)
		time.Sleep(2 * time.Minute)
		f.mustAnswer("openticket")
		if got := f.sandbox.OpenTicket.Counters().TokenRequests; got > asked+1 {
			t.Errorf("%d token requests", got-asked)
		}
		mustNotShow(t, "output", f.output.String(), key.identity, other.identity)
	})
}

func TestLoginWithTheRecipientAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{ReuseDetection: true})
		key := newStateKey(t)
		variable, _ := keyFile(t, key)
		environ := f.environ
		f.environ = append(environ[:len(environ):len(environ)], "TICKETPROXY_STATE_RECIPIENT="+key.recipient)
		for generation := range 2 {
			code, out := f.login(pipe(), f.allow, "openticket")
			mustPrint(t, code, 0, out, "logged in, generation "+string(rune('1'+generation)))
		}
		code, out := f.with("check")
		mustPrint(t, code, 1, out, "account openticket: generation 2", "encrypted to "+key.recipient,
			"warn  state: TICKETPROXY_STATE_RECIPIENT is enough for login, and serve reads tokens too")
		code, out = f.with("serve")
		mustPrint(t, code, 2, out, "TICKETPROXY_STATE_RECIPIENT is enough for login", "hint: set TICKETPROXY_STATE_KEY_FILE")
		code, out = f.with("rekey")
		mustPrint(t, code, 2, out, "there is no key to encrypt with", "hint: set TICKETPROXY_STATE_KEY_FILE")

		f.environ = append(environ[:len(environ):len(environ)], variable)
		f.serve()
		f.mustAnswer("openticket")
		f.stop()

		f.environ = environ
		code, out = f.login(pipe(), f.allow, "openticket")
		mustPrint(t, code, 1, out, "record cannot be opened: its tokens are encrypted to "+key.recipient+", and there is no key",
			"; or, to replace the record unread, set TICKETPROXY_STATE_RECIPIENT")
	})
}

// TestLoginWithAnotherRecipient tests that a login which can only encrypt warns before it
// encrypts a record to another recipient than before.
func TestLoginWithAnotherRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		before, next := newStateKey(t), newStateKey(t)
		environ := f.environ
		login := func(variables ...string) string {
			f.environ = append(environ[:len(environ):len(environ)], variables...)
			code, out := f.login(pipe(), f.allow, "openticket")
			mustPrint(t, code, 0, out, "logged in, generation ")
			return out
		}
		both, _ := keyFile(t, next, before)
		quiet := login() + login("TICKETPROXY_STATE_RECIPIENT="+before.recipient) + login("TICKETPROXY_STATE_RECIPIENT="+before.recipient) +
			login(both)
		if strings.Contains(quiet, "warning: ") {
			t.Errorf("a login warned of its own recipient, or of one whose identity it has:\n%s", quiet)
		}
		out := login("TICKETPROXY_STATE_RECIPIENT=" + before.recipient)
		mustPrint(t, 0, 0, out, "warning: the record of account openticket is encrypted to "+next.recipient+
			", and this login will encrypt it to "+before.recipient+": no instance that lacks the identity of "+before.recipient,
			"\nhint: set TICKETPROXY_STATE_RECIPIENT to "+next.recipient+", if the running instances have its identity; "+
				"or add the identity of "+before.recipient)
		if strings.Index(out, "warning: ") > strings.Index(out, "http") {
			t.Errorf("the warning came after the browser was opened:\n%s", out)
		}
		mustNotShow(t, "login", out, before.identity, next.identity)
		path := filepath.Join(f.dir, "state", "openticket.json")
		forged := strings.Replace(f.recordFile("openticket"), before.recipient, `\u001b[2J`, 1)
		if err := os.WriteFile(path, []byte(forged), 0o600); err != nil {
			t.Fatal(err)
		}
		mustPrint(t, 0, 0, login("TICKETPROXY_STATE_RECIPIENT="+before.recipient), `is encrypted to "\x1b[2J", and`)
	})
}
