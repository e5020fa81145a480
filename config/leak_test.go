package config_test

import (
	"fmt"
	"strings"
	"testing"

	"ticketproxy/config"
)

// canary is the value of every secret. Output that contains it leaks a secret.
const canary = "canary-0123456789"

func leaks(c config.Config, err error) bool {
	shown := fmt.Sprintf("%v %+v %#v %v %+v %#v", c, c, c, err, err, err)
	for _, u := range c.Upstreams {
		shown += fmt.Sprintf("%v %+v %#v", u, u, u)
	}
	return strings.Contains(shown, canary)
}

func TestSecretsNeverShow(t *testing.T) {
	t.Parallel()
	files := testFiles{
		"/good": canary, "/padded": " " + canary + "\n", "/lines": canary + "\n" + canary, "/accent": canary + "é", "/" + canary: "forbidden",
		"/broken": "-----BEGIN CERTIFICATE-----\n" + canary + "\n-----END CERTIFICATE-----\n",
	}
	for _, lines := range []string{
		"CLIENT_SECRET=%s|REFRESH_TOKEN=%s",
		"CLIENT_SECRET_FILE=/good|CLIENT_SECRET=|REFRESH_TOKEN_FILE=/good",
		"CLIENT_SECRET=%s|CLIENT_SECRET_FILE=/good|TIMEOUT=60",
		"CLIENT_SECRET= %s|REFRESH_TOKEN=%s ",
		"CLIENT_SECRET=%s\n%s|REFRESH_TOKEN=%sé",
		"CLIENT_SECRET=%s|CLIENT_AUTH=none",
		"CLIENT_SECRET_FILE=/padded|CLIENT_SECRET=|REFRESH_TOKEN_FILE=/lines",
		"REFRESH_TOKEN_FILE=/accent",
		"REFRESH_TOKEN_FILE=%s",
		"REFRESH_TOKEN_FILE=/%s",
		"CLIENT_ID=%s\n",
		"TOKEN_PARAMS=audience=%s|TOKEN_HEADERS=X-Api-Key: %s", "TOKEN_PARAMS_FILE=/good", "TOKEN_PARAMS=%%zz%s", "TOKEN_PARAMS==%s",
		"TOKEN_HEADERS=X-Api-Key: %s%%zz", "TOKEN_HEADERS=X-Api-Key: %s%%0a", "TOKEN_HEADERS=%s", "TOKEN_HEADERS=Authorization: %s",
		"CA_FILE=%s", "CA_FILE=/broken",
		"UPSTREAM_URL=https://%s@api.test", "UPSTREAM_URL=https://me:%s@api.test:x", "UPSTREAM_URL=%s", "UPSTREAM_URL=https://api.test/%s?",
		"TOKEN_URL=https://me:%s@api.test/token", "TOKEN_URL=http://%s@api.test/%%zz", "AUTHORIZE_URL=https://api.test#token=%s",
		"LISTEN=http://me:%s@127.0.0.1:8080", "ADMIN_LISTEN=%s@:1", "HOST=me:%s@host", "PREFIX=/?token=%s",
		"STATE=postgres://me:%s@db/x", "STATE=postgresql://db?password=%s", "STATE=kubernetes:a/b/%s", "STATE=mysql://%s", "STATE=file:?%s",
		"STATE_KEY_FILE=%s", "STATE_KEY_FILE=/good", "STATE_KEY_FILE=/%s", "STATE_RECIPIENT=%s", "STATE_RECIPIENT=age1%s",
		"STATE_RECIPIENT=AGE-SECRET-KEY-1%s",
		"ALLOWED_ORIGINS=https://me:%s@app.test", "ALLOWED_HOSTS=me:%s@app.test",
		"CLIENT_SECRETT=%s", "REFRESHTOKEN=%s", "PASSWORD=%s", "PARK_CLIENT_SECRET=%s",
		"UPSTREAMS=park|CLIENT_SECRET=%s|PARK_CLIENT_SECRET=%s |PARK_STATE=%s",
	} {
		environment := park(strings.Split(strings.ReplaceAll(lines, "%s", canary), "|")...)
		c, err := parse(environment, files)
		if leaks(c, err) {
			t.Errorf("%q shows a secret:\n%v", lines, err)
		}
	}
	for _, name := range []string{"HTTPS_PROXY", "http_proxy"} {
		c, err := parse(append(park(), name+"=http://me:"+canary+"@proxy.test"), nil)
		if err != nil || leaks(c, err) {
			t.Errorf("%s shows a password: %v", name, err)
		}
	}
}

// FuzzParse parses an environment of the given lines and of secrets with the canary.
func FuzzParse(f *testing.F) {
	for _, environment := range [][]string{park(), two(), park("LISTEN=unix:/s", "HOST=[::1]", "STATE=memory:"), two("X=1", "TIMEOUT=60")} {
		f.Add(strings.Join(environment, "\n"))
	}
	f.Add("TICKETPROXY_UPSTREAMS=a,-,A-b,,a-b\nTICKETPROXY_A_B_ACCOUNT=a\nTICKETPROXY_A_LISTEN=[::%1]:0\nTICKETPROXY_A_URL=https://[::1]:1/%2f")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "canary") {
			t.Skip("the input contains the canary")
		}
		environment := append(strings.Split(text, "\n"), "TICKETPROXY_CLIENT_SECRET="+canary, "TICKETPROXY_PARK_REFRESH_TOKEN="+canary, "TICKETPROXY_A_CLIENT_SECRET="+canary+" ")
		c, err := parse(environment, testFiles{"/x": canary + "\n", "/y": "\n" + canary})
		if leaks(c, err) {
			t.Errorf("%q shows a secret:\n%v", text, err)
		}
		again, repeated := parse(environment, testFiles{"/x": canary + "\n", "/y": "\n" + canary})
		if fmt.Sprint(err) != fmt.Sprint(repeated) || len(c.Upstreams) != len(again.Upstreams) {
			t.Errorf("two results for the same environment:\n%v\n%v", err, repeated)
		}
		if err == nil {
			consistent(t, c)
		}
	})
}

// consistent checks the invariants of a Config.
func consistent(t *testing.T, c config.Config) {
	t.Helper()
	owners := make(map[string]bool)
	for _, u := range c.Upstreams {
		owners[u.Name] = u.OwnsAccount()
	}
	for _, u := range c.Upstreams {
		switch {
		case u.UpstreamURL == nil || u.TokenURL == nil || u.Timeout <= 0 || !strings.HasPrefix(u.Prefix, "/"):
			t.Errorf("upstream %+v is incomplete", u)
		case !owners[u.Account]:
			t.Errorf("upstream %s has no account", u.Name)
		case u.OwnsAccount() && (u.ClientID == "" || u.ClientSecret.IsZero() != (u.ClientAuth == "none")):
			t.Errorf("upstream %s does not have the credentials it needs", u.Name)
		case strings.HasSuffix(u.UpstreamURL.Path, "/"):
			t.Errorf("upstream %s has a base path of %q", u.Name, u.UpstreamURL.Path)
		}
	}
}
