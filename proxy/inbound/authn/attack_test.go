package authn

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTokens tests which tokens prove a caller, and what is said of others. Each is sent twice:
// the second time a valid one is remembered.
func TestTokens(t *testing.T) {
	t.Parallel()
	signers()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		v := valid()
		const ok = "nightly by token"
		for name, test := range map[string]struct {
			token fmt.Stringer
			want  string
		}{
			"ES256":                     {v, ok},
			"RS256":                     {v.head("alg", "RS256", "kid", "rsa").by("rsa"), ok},
			"EdDSA":                     {v.head("alg", "EdDSA", "kid", "ed").by("ed"), ok},
			"no kid, one key fits":      {v.head("kid", nil), ok},
			"typ JWT":                   {v.head("typ", "JWT"), ok},
			"typ at+jwt":                {v.head("typ", "at+jwt"), ok},
			"typ application/at+jwt":    {v.head("typ", "application/AT+JWT"), ok},
			"two audiences":             {v.with("aud", []string{"x", "ticketproxy"}), ok},
			"times with fractions":      {v.with("exp", float64(now)+1.5, "nbf", float64(now)+0.25), ok},
			"expired within the leeway": {v.with("exp", now-59), ok},
			"nbf within the leeway":     {v.with("nbf", now+60), ok},
			"the other issuer":          {v.with("iss", otherURL, "sub", "robot").by("other"), "robot by token"},
			"its second audience":       {v.with("iss", otherURL, "sub", "robot", "aud", "second").by("other"), "robot by token"},

			"jku is ignored, by the issuer's key":   {v.head("jku", "http://localhost:9/keys"), ok},
			"x5u is ignored, by the issuer's key":   {v.head("x5u", "http://localhost:9/keys"), ok},
			"jku of a stranger":                     {v.head("jku", "http://localhost:9/keys").by("stranger"), "signature"},
			"x5u of a stranger":                     {v.head("x5u", "http://localhost:9/keys").by("stranger"), "signature"},
			"jwk of a stranger":                     {v.head("jwk", public("stranger", "ec")).by("stranger"), "signature"},
			"jwk of a stranger, without kid":        {v.head("jwk", public("stranger", "ec"), "kid", nil).by("stranger"), "signature"},
			"jwk that is private":                   {v.head("jwk", map[string]string{"kty": "oct", "k": "AAAA"}), "not a signed token"},
			"alg none":                              {v.head("alg", "none").by("none"), "algorithm is none;"},
			"alg NONE":                              {v.head("alg", "NONE").by("none"), "algorithm is none;"},
			"alg nOnE with a signature":             {v.head("alg", "nOnE"), "algorithm is none;"},
			"no alg":                                {v.head("alg", nil), "algorithm is another;"},
			"an alg that holds a credential":        {v.head("alg", "tpk_canary"), "algorithm is another;"},
			"alg that is a list":                    {v.head("alg", []string{"ES256"}), "algorithm is another;"},
			"HS256 with the public key":             {v.head("alg", "HS256", "kid", "rsa").by("rsa"), "algorithm is HS256;"},
			"PS256":                                 {v.head("alg", "PS256", "kid", "rsa").by("rsa"), "algorithm is PS256;"},
			"RS512":                                 {v.head("alg", "RS512", "kid", "rsa").by("rsa"), "algorithm is RS512;"},
			"ES384":                                 {v.head("alg", "ES384").by("p384"), "algorithm is ES384;"},
			"ES256 with a key of P-384":             {v.by("p384"), "signature"},
			"RS256 with the kid of the EC key":      {v.head("alg", "RS256").by("rsa"), "key is not one of"},
			"EdDSA with the kid of the EC key":      {v.head("alg", "EdDSA").by("ed"), "key is not one of"},
			"ES256 with the kid of the RSA key":     {v.head("kid", "rsa"), "key is not one of"},
			"a stranger's signature":                {v.by("stranger"), "signature"},
			"an empty signature":                    {v.by("none"), "signature"},
			"a signature of zeros":                  {text(unsigned(v) + "." + encode(strings.Repeat("\x00", 64))), "signature"},
			"the signature of another token":        {text(unsigned(v.with("sub", "project:42:y")) + v.String()[strings.LastIndex(v.String(), "."):]), "signature"},
			"a signature with a byte more":          {text(v.String() + "AA"), "signature"},
			"unknown kid":                           {v.head("kid", "unknown"), "key is not one of"},
			"a kid that is a path":                  {v.head("kid", "../../etc/passwd"), "key is not one of"},
			"a kid with SQL":                        {v.head("kid", "' or 1=1 --"), "key is not one of"},
			"a kid that is a number":                {v.head("kid", 1), "not a signed token"},
			"kid of another issuer":                 {v.head("kid", "other").by("other"), "key is not one of"},
			"same kid, key of another issuer":       {v.by("other"), "signature"},
			"another issuer's subject":              {v.with("sub", "robot"), `subject "robot" is no caller's`},
			"our key, another issuer's name":        {v.with("iss", otherURL, "sub", "robot"), "signature"},
			"an issuer not listed":                  {v.with("iss", "https://evil.example"), `issuer "https://evil.example" is not listed`},
			"an issuer with a slash more":           {v.with("iss", ciURL+"/"), "is not listed"},
			"an issuer in capitals":                 {v.with("iss", strings.ToUpper(ciURL)), "is not listed"},
			"an issuer with controls":               {v.with("iss", "a\n\x1b[31m\u202e"), `"a\n\x1b[31m\u202e"`},
			"no issuer":                             {v.with("iss", nil), `issuer "" is not listed`},
			"an issuer that is a list":              {v.with("iss", []string{ciURL}), "claims are not JSON"},
			"a long issuer":                         {v.with("iss", strings.Repeat("é", 1000)), `\u00e9"… is not listed`},
			"wrong audience":                        {v.with("aud", "x"), `the audience "x", and must have "ticketproxy"`},
			"an audience in capitals":               {v.with("aud", "Ticketproxy"), "and must have"},
			"no audience":                           {v.with("aud", nil), "no audience"},
			"an empty list of audiences":            {v.with("aud", []string{}), "no audience"},
			"an audience that is a number":          {v.with("aud", 1), "claims are not JSON"},
			"an audience that is null":              {v.with("aud", text("null")), "claims are not JSON"},
			"the second audience of another":        {v.with("aud", "second"), "and must have"},
			"the API server's audience":             {v.with("aud", "https://kubernetes.default.svc"), "good at its issuer's own API"},
			"the API server's audience beside ours": {v.with("aud", []string{"ticketproxy", "https://kubernetes.default.svc.cluster.local"}), "good at its issuer's own API"},
			"the issuer as audience beside ours":    {v.with("aud", []string{"ticketproxy", ciURL}), "good at its issuer's own API"},
			"expired":                               {v.with("exp", now-720), "expired 12 min ago"},
			"expired long ago":                      {v.with("exp", 0), "days ago"},
			"expired just now":                      {v.with("exp", now-60), "expired 60 s ago"},
			"no exp":                                {v.with("exp", nil), "no expiry"},
			"exp that is a text":                    {v.with("exp", fmt.Sprint(now+600)), "claims are not JSON"},
			"exp that is null":                      {v.with("exp", text("null")), "claims are not JSON"},
			"exp below zero":                        {v.with("exp", -1), "claims are not JSON"},
			"exp beyond all time":                   {v.with("exp", 1e300), "claims are not JSON"},
			"future nbf":                            {v.with("nbf", now+120), "valid in 2 min only"},
			"future iat":                            {v.with("iat", now+61), "issued in 61 s only"},
			"no subject":                            {v.with("sub", nil), "no subject"},
			"another project's subject":             {v.with("sub", "project:421:x"), "is no caller's"},
			"a subject with NUL":                    {v.with("sub", "x\x00project:42:"), "is no caller's"},
			"another claim":                         {v.with("ref", "feature"), `but its claim "ref" has another value`},
			"a claim that is missing":               {v.with("ref", nil), `but its claim "ref" has another value`},
			"a claim that is a list":                {v.with("ref", []string{"main"}), `but its claim "ref" has another value`},
			"a claim spelled otherwise":             {v.with("ref", nil, "REF", "main"), `but its claim "ref" has another value`},
			"bound to a key":                        {v.with("cnf", map[string]string{"jkt": "x"}), "bound to a key"},
			"crit":                                  {v.head("crit", []string{"exp"}, "exp", 1), "header has crit"},
			"crit that go-jose knows":               {v.head("crit", []string{"b64"}, "b64", true), "header has "},
			"crit that is empty":                    {v.head("crit", []string{}), "header has crit"},
			"b64 alone":                             {v.head("b64", false), "header has b64"},
			"typ of a logout token":                 {v.head("typ", "logout+jwt"), "(typ) is not that"},
			"typ of a DPoP proof":                   {v.head("typ", "dpop+jwt"), "(typ) is not that"},
			"typ that is a number":                  {v.head("typ", 1), "(typ) is not that"},
			"a nested token":                        {text(sign(`{"alg":"ES256","kid":"ec","cty":"JWT"}`, v.String(), "ec")), "claims are not JSON"},
			"an encrypted token":                    {text("a.b.c.d.e"), "is encrypted"},
			"an unsecured token of two parts":       {text(unsigned(v)), "neither a key"},
			"JSON in place of the compact form":     {text(encode(`{"payload":""}`)), "neither a key"},
			"duplicate claims":                      {raw(v, `{"sub":"project:42:x",`), "claims are not JSON"},
			"duplicate claims by escape":            {raw(v, `{"\u0073ub":"project:42:x",`), "claims are not JSON"},
			"duplicate names deeper":                {raw(v, `{"x":{"a":1,"a":2},`), ok}, // of a claim that nobody reads
			"a duplicate in the header":             {text(sign(`{"alg":"none","alg":"ES256","kid":"ec"}`, payload(v), "ec")), "not a signed token"},
			"AUD beside aud":                        {v.with("aud", "x", "AUD", "ticketproxy"), "and must have"},
			"text behind the claims":                {text(sign(`{"alg":"ES256","kid":"ec"}`, payload(v)+"{}", "ec")), "claims are not JSON"},
			"claims that are a list":                {text(sign(`{"alg":"ES256","kid":"ec"}`, "[]", "ec")), "claims are not JSON"},
			"claims that are null":                  {text(sign(`{"alg":"ES256","kid":"ec"}`, "null", "ec")), "claims are not JSON"},
			"claims that are not UTF-8":             {raw(v, "{\"x\":\"\xff\","), "claims are not JSON"},
			"no claims":                             {text(sign(`{"alg":"ES256","kid":"ec"}`, "", "ec")), "claims are not JSON"},
			"no header":                             {text("." + encode(payload(v)) + ".AAAA"), "algorithm is another;"},
			"deeply nested claims":                  {raw(v, `{"x":`+strings.Repeat("[", 1500)+strings.Repeat("]", 1500)+","), ok},
			"three points":                          {text("a...b"), "neither a key"},
			"points alone":                          {text(".."), "algorithm is another;"},
			"oversized":                             {v.with("x", strings.Repeat("x", 8<<10)), "longer than 8 KiB"},
		} {
			f := newFixture(t)
			sent := test.token.String()
			for range 2 {
				got := f.ask(bearer(sent))
				if strings.HasSuffix(test.want, " by token") != (got == test.want) || !strings.Contains(got, test.want) {
					t.Errorf("%s: %s, want %s", name, got, test.want)
				}
				leaks(t, got, sent)
			}
			if f.issuers.fetches > 1 {
				t.Errorf("%s: %d fetches", name, f.issuers.fetches)
			}
			f.Close()
		}
	})
}

// A text is a token, or a piece of JSON, as it is.
type text string

func (s text) String() string               { return string(s) }
func (s text) MarshalJSON() ([]byte, error) { return []byte(s), nil }

func payload(k token) string {
	decoded, err := base64.RawURLEncoding.DecodeString(strings.Split(k.String(), ".")[1])
	if err != nil {
		panic(err)
	}
	return string(decoded)
}

// raw returns a token whose claims begin with a text.
func raw(k token, begin string) text {
	return text(sign(`{"alg":"ES256","kid":"ec"}`, begin+payload(k)[1:], "ec"))
}

// unsigned returns the token without its last part.
func unsigned(k token) string { return k.String()[:strings.LastIndex(k.String(), ".")] }

// leaks fails for an answer with a piece of a credential.
func leaks(t *testing.T, answer, sent string) {
	t.Helper()
	for _, part := range strings.FieldsFunc(sent, func(r rune) bool { return r == '.' || r == ' ' || r == ':' }) {
		for i := 0; i+12 <= len(part); i += 6 {
			if strings.Contains(answer, part[i:i+12]) {
				t.Errorf("the answer has a part of the credential: %s", answer)
			}
		}
	}
}
