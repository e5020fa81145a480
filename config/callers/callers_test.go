package callers

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// An example is a file in testdata, with the mistakes that are in it.
type example struct {
	name, text string
	mistakes   []string
	schema     bool // the schema refuses it, too
}

// examples reads a file of testdata: each begins with === and its name, and ends with its
// mistakes after the last ---.
func examples(t testing.TB, file string) []example {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	for _, part := range strings.Split("\n"+string(data), "\n=== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		e := example{name: name, text: text}
		e.name, e.schema = strings.CutSuffix(name, " (schema)")
		if i := strings.LastIndex(text, "\n---\n"); i >= 0 {
			e.text, e.mistakes = text[:i+1], strings.Split(strings.TrimSpace(text[i+5:]), "\n")
		}
		all = append(all, e)
	}
	return all
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t, "accepted.txt") {
		if _, err := Parse([]byte(e.text)); err != nil {
			t.Errorf("%s:\n%v", e.name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t, "refused.txt") {
		f, err := Parse([]byte(e.text))
		wrong, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: error %v", e.name, err)
			continue
		}
		var got []string
		for _, m := range wrong.Mistakes {
			got = append(got, m.Text())
			if m.Hint == "" || strings.Contains(m.Text()+m.Hint, "hunter2") || strings.Contains(m.Text()+m.Hint, "tpk_") {
				t.Errorf("%s: %+v", e.name, m)
			}
		}
		want := slices.Clone(e.mistakes)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", e.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if f.Callers != nil {
			t.Errorf("%s: data beside the error", e.name)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("callers:\n  shop: {key: x}\n"))
	const want = `line 2, callers.shop: "key" is not known here
hint: did you mean keys?`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

// mustParse parses one of the accepted examples.
func mustParse(t *testing.T, name string) File {
	t.Helper()
	for _, e := range examples(t, "accepted.txt") {
		if e.name == name {
			f, err := Parse([]byte(e.text))
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no example %q", name)
	return File{}
}

func TestEveryField(t *testing.T) {
	t.Parallel()
	f := mustParse(t, "every field")
	c := f.Callers["all-of-it"]
	shown := fmt.Sprintf("%+v %+v %v %v %d %v %+v %v %+v %+v", f.Issuers["cluster"], f.Issuers["ci"], c.JWTs, c.Certificate, *c.UID,
		c.Listen, c.May, c.Tokens, c.Rate, f.Limits)
	const want = `{Name:cluster Kubernetes:true URL: Audiences:[ticketproxy gateway] CAFile:} ` +
		`{Name:ci Kubernetes:false URL:https://ci.example.com/realms/a Audiences:[ticketproxy] CAFile:/etc/ssl/ci.pem} ` +
		`[{cluster system:serviceaccount:tickets:report.v2 []} ` +
		`{ci repo:a/b [{https://example.com/tier [1.5]} {project [42]} {protected [true]} {ref [main release]}]}] ` +
		`spiffe://example.org/ns/shop/sa/web 1000 [::1]:8083 ` +
		`[{Upstream:park Methods:[GET POST PROPFIND M-SEARCH] Paths:[{Text:/** Segments:[] Rest:true} ` +
		`{Text:/a*b/*/c Segments:[a*b * c] Rest:false} {Text:/ Segments:[] Rest:false} {Text:/events/ Segments:[events ] Rest:false}] Warn:true Line:17} ` +
		`{Upstream:* Methods:[] Paths:[] Warn:false Line:18}] ` +
		`[park shop] 5 requests per day, and 1 at once ` +
		`map[park:{Rate:7 requests per hour, and 1 at once Concurrent:2 Heed:true} shop:{Rate:no limit Concurrent:0 Heed:true}]`
	if shown != want {
		t.Errorf("got\n%s\nwant\n%s", shown, want)
	}
	if len(c.Keys) != 2 || c.Keys[0] != sha256.Sum256([]byte("foo")) || c.Keys[1] != sha256.Sum256([]byte("bar")) {
		t.Errorf("keys %x", c.Keys)
	}
}

func TestBurst(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{
		"per: second, requests: 20":           {20, time.Second, 20},
		"per: minute, requests: 600":          {600, time.Minute, 10},
		"per: minute, requests: 5":            {5, time.Minute, 1},
		"per: hour, requests: 7, burst: 7":    {7, time.Hour, 7},
		"per: day, requests: 1, burst: 90000": {1, 24 * time.Hour, 90000},
	} {
		f, err := Parse([]byte("callers: {a: {uid: 1, rate: {" + text + "}}}"))
		if err != nil || f.Callers["a"].Rate != want {
			t.Errorf("%s: %+v, %v", text, f.Callers["a"].Rate, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := mustParse(t, "contract")
	if err := f.Check([]string{"park", "shop"}, []string{"park"}); err != nil {
		t.Error(err)
	}
	const want = `line 7, callers.shop.may[0].upstream: "park" is not an upstream of this program
hint: did you mean parc?
line 12, callers.report.tokens[0]: "park" is not an account of this program
hint: write one of: shop
line 13, callers.erp.may[0].upstream: "shop" is not an upstream of this program
hint: write one of: parc
line 14, callers.nightly.may[0].upstream: "park" is not an upstream of this program
hint: did you mean parc?
line 16, limits.park: "park" is not an account of this program
hint: write one of: shop`
	if err := f.Check([]string{"parc"}, []string{"shop"}); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		pattern   string
		yes, none string
	}{
		{"a", "a", "ab A b"},
		{"a*", "a ab a*", "A ba"},
	} {
		subject, err := parseSubject(p.pattern)
		if err != nil {
			t.Fatal(err)
		}
		matches(t, p.pattern, subject.Match, p.yes, p.none)
	}
	for _, p := range []struct {
		pattern   string
		yes, none string
	}{
		{"spiffe://x/a", "spiffe://x/a", "spiffe://x/a/ spiffe://x/a/b spiffe://x/A SPIFFE://x/a spiffe://x"},
		{
			"spiffe://x/a/**", "spiffe://x/a spiffe://x/a/b spiffe://x/a/b/c",
			"spiffe://x/ab spiffe://x/a/ spiffe://x/a/../b spiffe://x/a/. spiffe://x/a//b spiffe://x/a/%2e%2e/b spiffe://x/a/b?c " +
				`spiffe://x/a#b spiffe://x/a/\..\b spiffe://x spiffe://y/a spiffe://x/a/b/`,
		},
		{"spiffe://x/**", "spiffe://x spiffe://x/a", "spiffe://x.y/a spiffe://x@y/a spiffe://x:1/a"},
	} {
		certificate, err := parseURIPattern(p.pattern)
		if err != nil {
			t.Fatal(err)
		}
		matches(t, p.pattern, certificate.Match, p.yes, p.none)
	}
}

func matches(t *testing.T, pattern string, match func(string) bool, yes, none string) {
	t.Helper()
	for _, text := range strings.Fields(yes) {
		if !match(text) {
			t.Errorf("%s does not match %s", pattern, text)
		}
	}
	for _, text := range strings.Fields(none) {
		if match(text) {
			t.Errorf("%s matches %s", pattern, text)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	c := Claim{"x", []any{"main", true, 42.0, 1.5}}
	for text, want := range map[string]bool{
		`"main"`: true, `true`: true, `42`: true, `4.2e1`: true, `1.5`: true,
		`"Main"`: false, `"true"`: false, `"42"`: false, `false`: false, `43`: false, `null`: false, `["main"]`: false, `{"main": true}`: false,
		`9007199254740993`: false, `1e400`: false,
	} {
		for _, exact := range []bool{false, true} {
			decoder := json.NewDecoder(strings.NewReader(text))
			if exact {
				decoder.UseNumber()
			}
			var value any
			if err := decoder.Decode(&value); err != nil && text != `1e400` {
				t.Fatal(err)
			}
			if c.Match(value) != want {
				t.Errorf("%s: %v", text, !want)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	many := strings.Builder{}
	for i := range maxCallers + 1 {
		fmt.Fprintf(&many, "  a%d: {uid: %d}\n", i, i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"large":        {"callers: {}\n" + strings.Repeat("#", MaxSize), "the file is larger than 1 MiB"},
		"deep":         {strings.Repeat("[", MaxSize), "this is not YAML: "},
		"deep mapping": {strings.Repeat("{a: ", MaxSize/4), "this is not YAML: "},
		"laughs": {
			"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b]\ncallers: *c\n",
			"the file has an anchor or an alias",
		},
		"many callers":     {"callers:\n" + many.String(), "are more than 1000"},
		"many mistakes":    {"callers: {}\n" + strings.Repeat("? \n", MaxSize/64), "further mistakes"},
		"another language": {"\xff\xfe\x00", "this is not YAML"},
		"private key":      {"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", "is a text"},
		"key in the open":  {"callers: {a: {uid: tpk_hunter2, issuer: tpk_hunter2, listen: tpk_hunter2, may: [{paths: [tpk_hunter2]}], tpk_hunter2: 1}}", "callers.a"},
	} {
		began := time.Now()
		_, err := Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 20_000 {
			t.Errorf("%s: %.1000v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s shows a secret: %v", name, err)
		}
		t.Logf("%s took %v", name, time.Since(began))
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"accepted.txt", "refused.txt"} {
		for _, e := range examples(f, file) {
			f.Add([]byte(e.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		wrong, ok := errors.AsType[*Error](err)
		if err != nil && (!ok || len(wrong.Mistakes) == 0) {
			t.Fatalf("error %v", err)
		}
		if ok {
			for _, m := range wrong.Mistakes {
				if m.Problem == "" || m.Hint == "" || strings.ContainsAny(m.Text(), "\n\x1b\x00") {
					t.Errorf("%+v", m)
				}
			}
		}
		file.Check([]string{"park"}, nil)
		for name, c := range file.Callers {
			if c.Name != name || len(c.Keys)+len(c.JWTs) == 0 && c.Certificate == nil && c.UID == nil && c.Listen == nil {
				t.Errorf("%+v has no proof", c)
			}
			for _, j := range c.JWTs {
				if _, ok := file.Issuers[j.Issuer]; !ok {
					t.Errorf("%+v names no issuer", c)
				}
			}
		}
	})
}
