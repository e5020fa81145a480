package authn

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ticketproxy/config/callers"
)

// TestHeaders tests where a proof may stand and what is refused.
func TestHeaders(t *testing.T) {
	t.Parallel()
	const proxyAuth, auth = "Proxy-Authorization", "Authorization"
	virtual(t, func(t *testing.T, f *fixture) {
		placeholder, err := f.NewPlaceholder("report", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		unknown, _ := NewKey()
		jwt := valid().String()
		key := f.key
		weak := "tpk_" + strings.Repeat("a", 43) + "AAAAAA"
		n := 0
		for name, test := range map[string]struct {
			fields []string
			want   string
		}{
			"a key":                          {[]string{auth, "Bearer " + key}, "shop by key"},
			"in the proxy's field":           {[]string{proxyAuth, "Bearer " + key}, "shop by key"},
			"scheme in small letters":        {[]string{auth, "bearer " + key}, "shop by key"},
			"scheme in capitals":             {[]string{auth, "BASIC " + basic("shop", key)[6:]}, "shop by key"},
			"two spaces":                     {[]string{auth, "Bearer  " + key}, "shop by key"},
			"Basic":                          {[]string{auth, basic("shop", key)}, "shop by key"},
			"Basic in the proxy's field":     {[]string{proxyAuth, basic("shop", key)}, "shop by key"},
			"a token as password":            {[]string{auth, basic("nightly", jwt)}, "nightly by token"},
			"a placeholder":                  {[]string{auth, "Bearer " + placeholder.Reveal()}, "report by placeholder"},
			"both: the proxy's counts":       {[]string{proxyAuth, "Bearer " + key, auth, "Bearer " + f.report}, "shop by key"},
			"both: the app's is its own":     {[]string{proxyAuth, "Bearer " + key, auth, "Digest x=y, z"}, "shop by key"},
			"both: the app's has two lines":  {[]string{proxyAuth, "Bearer " + key, auth, "a", auth, "b"}, "shop by key"},
			"both: the proxy's is wrong":     {[]string{proxyAuth, "Bearer " + unknown.Reveal(), auth, "Bearer " + key}, "Unauthorized: unknown key"},
			"both: the proxy's is empty":     {[]string{proxyAuth, "", auth, "Bearer " + key}, "Proxy-Authorization is not"},
			"two lines":                      {[]string{auth, "Bearer " + key, auth, "Bearer " + f.report}, "Authorization has 2 lines"},
			"two lines, the same":            {[]string{auth, "Bearer " + key, auth, "Bearer " + key}, "Authorization has 2 lines"},
			"two lines of the proxy's":       {[]string{proxyAuth, "Bearer " + key, proxyAuth, "Bearer " + key}, "Proxy-Authorization has 2 lines"},
			"a second credential":            {[]string{auth, "Bearer " + key + ", Bearer " + f.report}, "more than one credential"},
			"a comma at the end":             {[]string{auth, "Bearer " + key + ","}, "more than one credential"},
			"a parameter":                    {[]string{auth, "Bearer token=\"" + key + "\""}, "more than one credential"},
			"nothing":                        {nil, "the request proves no caller"},
			"an empty line":                  {[]string{auth, ""}, "is not \"Bearer\" or \"Basic\""},
			"a scheme alone":                 {[]string{auth, "Bearer"}, "is not \"Bearer\" or \"Basic\""},
			"a scheme and a space":           {[]string{auth, "Bearer "}, "is not \"Bearer\" or \"Basic\""},
			"a key without a scheme":         {[]string{auth, key}, "is not \"Bearer\" or \"Basic\""},
			"a key for a scheme":             {[]string{auth, key + " " + key}, "neither Bearer nor Basic"},
			"a tab for the space":            {[]string{auth, "Bearer\t" + key}, "is not \"Bearer\" or \"Basic\""},
			"another scheme":                 {[]string{auth, "Negotiate " + key}, "neither Bearer nor Basic"},
			"not UTF-8":                      {[]string{auth, "Bearer \xff" + key}, "bytes that none has"},
			"a NUL":                          {[]string{auth, "Bearer " + key + "\x00"}, "bytes that none has"},
			"a look-alike letter":            {[]string{auth, "Bearer " + strings.Replace(key, "k", "\u212a", 1)}, "bytes that none has"},
			"Basic without a colon":          {[]string{auth, "Basic " + base64.StdEncoding.EncodeToString([]byte(key))}, "without a colon"},
			"Basic that is not base64":       {[]string{auth, "Basic " + key}, "not base64"},
			"Basic in base64url":             {[]string{auth, "Basic c2hvcDo_Pz8_"}, "not base64"},
			"Basic without padding":          {[]string{auth, strings.TrimRight(basic("shop", key), "=")}, "not base64"},
			"Basic, not UTF-8":               {[]string{auth, basic("sh\xffop", key)}, "neither a caller's name nor a key"},
			"Basic, a name not ours":         {[]string{auth, basic("report", key)}, "user name is not that of the caller"},
			"Basic, a name in capitals":      {[]string{auth, basic("Shop", key)}, "user name is not that of the caller"},
			"Basic, no name":                 {[]string{auth, basic("", key)}, "without a user name"},
			"Basic, no password":             {[]string{auth, basic("shop", "")}, "neither a caller's name nor a key"},
			"Basic, the key is the name":     {[]string{auth, basic(key, "")}, "neither a caller's name nor a key"},
			"Basic, the key is both":         {[]string{auth, basic(key, key)}, "user name is not that of the caller"},
			"Basic, a line break":            {[]string{auth, basic("shop", key+"\n")}, "neither a caller's name nor a key"},
			"Basic, a colon in the password": {[]string{auth, basic("shop", "a:"+key)}, "neither a caller's name nor a key"},
			"Basic, a token not the user's":  {[]string{auth, basic("shop", jwt)}, "user name is not that of the caller whom the token proves"},
			"unknown key":                    {[]string{auth, "Bearer " + unknown.Reveal()}, "unknown key"},
			"a key cut off":                  {[]string{auth, "Bearer " + key[:40]}, "40 characters, and a key has 53"},
			"a key with a character more":    {[]string{auth, "Bearer " + key + "A"}, "54 characters"},
			"a key with another case":        {[]string{auth, "Bearer " + key[:4] + swapCase(key[4:])}, "checksum"},
			"a key that a person chose":      {[]string{auth, "Bearer " + weak}, "checksum"},
			"the digest in place of the key": {[]string{auth, "Bearer sha256:abcdef"}, "bytes that none has"},
			"a password":                     {[]string{auth, basic("shop", "hunter2")}, "neither a key"},
			"oversized":                      {[]string{auth, "Bearer " + strings.Repeat("x", 8<<10)}, "longer than 8 KiB"},
		} {
			n++
			r := request(test.fields...)
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", n)
			r.Header["X-Before"] = []string{"kept"}
			before := fmt.Sprint(r.Header)
			c, p := f.Authenticate(r)
			got := outcome(c, p)
			if got != test.want && (p == nil || !strings.Contains(got, test.want)) {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
			if p != nil && (p.Code != "unauthenticated" || len(p.Challenge) != 2) {
				t.Errorf("%s: %+v", name, p)
			}
			for i := 1; i < len(test.fields); i += 2 {
				leaks(t, got, test.fields[i])
			}
			leaks(t, got, key)
			if fmt.Sprint(r.Header) != before {
				t.Errorf("%s: the request was changed", name)
			}
		}
	})
}

func swapCase(s string) string {
	if upper := strings.ToUpper(s); upper != s {
		return upper
	}
	return strings.ToLower(s)
}

// TestProve tests a client's id and secret, as the stub token endpoint gets them.
func TestProve(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		for _, test := range [][3]string{
			{"shop", f.key, "shop by key"},
			{"nightly", valid().String(), "nightly by token"},
			{"report", f.key, "user name is not"},
			{"", f.key, "user name is not"},
			{"shop", "", "bytes that no key has"},
			{"shop", strings.Repeat("x", 9000), "longer than 8 KiB"},
			{"shop", "tpk_\n", "bytes that no key has"},
		} {
			if got := outcome(f.Prove(request(), test[0], test[1])); !strings.Contains(got, test[2]) {
				t.Errorf("%s: %s", test[0], got)
			}
		}
	})
}

// FuzzCredential tests that no value of the field is more than what it says.
func FuzzCredential(f *testing.F) {
	for _, value := range []string{"", "Bearer", "Bearer x", "bearer  a.b.c", "Basic c2hvcDprZXk=", basic("a", "b:c"), "Basic ,", "a b c", "\xff \xff"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := parseCredential(value)
		if err != nil {
			if c != (credential{}) {
				t.Errorf("%q: a credential beside an error", value)
			}
			return
		}
		if !isToken68(c.text) || c.basic == (c.user == "") || strings.ContainsAny(value, ",\r\n\x00") || len(value) > maxHeader {
			t.Errorf("%q: %+v", value, c)
		}
		rebuilt := "Bearer " + c.text
		if c.basic {
			rebuilt = basic(c.user, c.text)
		}
		if again, err := parseCredential(rebuilt); err != nil || again != c {
			t.Errorf("%q: %+v is written as %q, which is %+v, %v", value, c, rebuilt, again, err)
		}
	})
}

// TestOwnListener tests that who reaches a listener of a caller's own is that caller, as long as the
// file says so.
func TestOwnListener(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		r := bearer(f.report)
		for _, tt := range []struct{ caller, address, want string }{
			{"till", "127.0.0.1:8083", "till by listener"},
			{"till", "127.0.0.1:8084", "Forbidden: CALLERS_FILE does not give this listener to caller till any more"},
			{"shop", "127.0.0.1:8083", "Forbidden: CALLERS_FILE does not give this listener to caller shop any more"},
		} {
			got := outcome(f.Listener(tt.caller, callers.Address{Network: "tcp", Address: tt.address}).Authenticate(r))
			if got != tt.want {
				t.Errorf("%s at %s: %s", tt.caller, tt.address, got)
			}
		}
		if _, ok := r.Header[http.CanonicalHeaderKey("authorization")]; !ok {
			t.Error("the request was changed")
		}
	})
}

// TestToken68 tests every byte at every place of short texts.
func TestToken68(t *testing.T) {
	t.Parallel()
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
	if isToken68("") {
		t.Error("an empty text is taken for a credential")
	}
	for length := 1; length < 20; length++ {
		for c := range 256 {
			for at := range length {
				text := []byte(strings.Repeat("a", length))
				text[at] = byte(c)
				if got := isToken68(string(text)); got != (strings.IndexByte(allowed, byte(c)) >= 0) {
					t.Fatalf("byte %#x at %d of %d: %v", c, at, length, got)
				}
			}
		}
	}
}
