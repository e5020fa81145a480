package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestNoCredentialIsTold sends all kinds of credentials in all places where one can stand, and
// finds none of them in the log, the audit log, the status or the metrics.
func TestNoCredentialIsTold(t *testing.T) {
	t.Parallel()
	f := newCallersFixture(t, `
issuers: {ci: {url: "http://localhost:1/ci", audience: ticketproxy}}
callers:
  shop: {keys: [KEY(shop)], may: [{upstream: own, methods: [GET]}, {upstream: ticketpark}], tokens: [ticketpark]}
  erp:  {issuer: ci, subject: erp, may: [{upstream: own}]}
`)
	tokens := freeAddress(t)
	f.extraEnv = append(f.extraEnv, "TICKETPROXY_TOKEN_LISTEN="+tokens, "TICKETPROXY_LOG_LEVEL=debug")
	var log bytes.Buffer
	f.startWith(func(cmd *exec.Cmd) { cmd.Stderr = &log })
	f.awaitAllUsable(30 * time.Second)

	secrets := map[string]string{
		"the key":           f.keys["shop"],
		"an unknown key":    "tpk_" + strings.Repeat("unknownKey", 5)[:49],
		"a short key":       "tpk_shortKeyShortKey",
		"a token":           jwt(t, map[string]any{"iss": "http://localhost:1/ci", "aud": "ticketproxy", "sub": "erp", "exp": time.Now().Unix() + 600}),
		"an unsigned token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1bnNpZ25lZFRva2VuIn0.",
		"an old token":      jwt(t, map[string]any{"iss": "http://localhost:1/ci", "aud": "ticketproxy", "sub": "erp", "exp": 1}),
		"a foreign token":   jwt(t, map[string]any{"iss": "https://elsewhere.example", "exp": time.Now().Unix() + 600}),
		"a placeholder":     "tpp_" + strings.Repeat("guessedPlaceholder", 6),
		"a password":        "correct-horse-battery-staple",
		"odd bytes":         "odd{bytes}in\"a;credential",
	}
	for what, secret := range secrets {
		for _, send := range f.waysToSend(tokens, secret) {
			send.Header.Set("X-What", what)
			if res, err := control.Do(send); err == nil {
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if strings.Contains(string(body), secret) {
					t.Errorf("the answer to %s has %s: %s", send.URL.Redacted(), what, body)
				}
				if placeholder := placeholderIn(body); placeholder != "" {
					secrets["the placeholder"] = placeholder
				}
			}
		}
		f.sendRaw("GET http://shop:" + secret + "@localhost/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		f.sendRaw("GET /x HTTP/1.1\r\nHost: localhost\r\nProxy-Authorization: Bearer " + secret + "\r\nProxy-Authorization: Bearer x\r\n\r\n")
		f.sendRaw("GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer " + secret + "\r\n\r\n")
		f.sendRaw("Bearer " + secret + "\r\n\r\n")
	}
	if secrets["the placeholder"] == "" {
		t.Error("no placeholder was given")
	}
	told := map[string]string{"status": f.adminText("/status"), "metrics": f.adminText("/metrics"), "the page": f.adminText("/")}
	if code := f.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	audit, err := os.ReadFile(f.audit())
	if err != nil {
		t.Fatal(err)
	}
	told["the log"], told["the audit log"] = log.String(), string(audit)
	for where, text := range told {
		if text == "" {
			t.Errorf("%s is empty", where)
		}
		for what, secret := range secrets {
			for _, part := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte("shop:" + secret)), secret[len(secret)-12:]} {
				if strings.Contains(text, part) {
					t.Errorf("%s has %s", where, what)
					break
				}
			}
		}
	}
	t.Logf("%d bytes of log, %d of audit log", len(told["the log"]), len(audit))
}

// waysToSend returns requests that hold a secret, where one may stand and where none may.
func (f *callersFixture) waysToSend(tokens, secret string) (all []*http.Request) {
	f.t.Helper()
	add := func(method, target, body string, header ...string) {
		r, err := http.NewRequestWithContext(f.t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			f.t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		all = append(all, r)
	}
	const form = "application/x-www-form-urlencoded"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("shop:"+secret))
	body := url.Values{"grant_type": {"client_credentials"}, "client_id": {"shop"}, "client_secret": {secret}}.Encode()
	object, _ := json.Marshal(map[string]string{"client_id": "shop", "client_secret": secret})
	stub := "http://" + f.listen["ticketpark"] + "/oauth/v2/token"
	for _, target := range []string{"http://" + f.address + "/x", stub, "http://" + tokens + "/token/ticketpark"} {
		for _, field := range []string{"Authorization", "Proxy-Authorization"} {
			for _, value := range []string{"Bearer " + secret, basic, secret, "Digest " + secret, "Bearer " + secret + ", Basic x"} {
				add(http.MethodGet, target, "", field, value, "Ticketproxy-Request", "true")
				add(http.MethodPost, target, "grant_type=client_credentials", field, value, "Content-Type", form)
			}
		}
		add(http.MethodGet, target+"?access_token="+url.QueryEscape(secret), "")
		add(http.MethodGet, target+"?grant_type=x&client_secret="+url.QueryEscape(secret), "")
		add(http.MethodGet, target, "", "Cookie", "token="+url.QueryEscape(secret), "Referer", "http://localhost/?token="+url.QueryEscape(secret))
		add(http.MethodGet, target, "", "Traceparent", secret, "X-Forwarded-For", secret)
		add(http.MethodPost, target, body, "Content-Type", form)
		add(http.MethodPost, target, body+"&client_secret=x", "Content-Type", form)
		add(http.MethodPost, target, string(object), "Content-Type", "application/json")
		add(http.MethodPost, target, string(object), "Content-Type", form)
		add(http.MethodPost, target, "grant_type=refresh_token&refresh_token="+url.QueryEscape(secret), "Content-Type", form)
		add(http.MethodPost, target, "grant_type=client_credentials&refused="+url.QueryEscape(secret), "Content-Type", form, "Authorization", basic)
	}
	return all
}

// sendRaw sends bytes to the listener, and waits for an answer.
func (f *callersFixture) sendRaw(text string) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(c, text)
	c.Read(make([]byte, 1<<10))
}

// jwt returns a token that is signed by nobody.
func jwt(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"ES256","kid":"x"}`)) + "." + encode(payload) + "." + encode(bytes.Repeat([]byte("signature"), 8)[:64])
}

func placeholderIn(body []byte) string {
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(body, &answer) == nil && strings.HasPrefix(answer.Token, "tpp_") {
		return answer.Token
	}
	return ""
}
