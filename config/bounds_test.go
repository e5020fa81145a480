package config_test

import (
	"strings"
	"testing"

	"ticketproxy/config"
)

// TestBounds tests each bound with the last valid value and the first invalid one.
func TestBounds(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	host := func(n int) string { // with labels of at most 63 characters
		name := strings.Repeat(strings.Repeat("a", 60)+".", 4)
		return name + strings.Repeat("b", n-len(name))
	}
	for name, tt := range map[string]struct{ good, bad []string }{
		"name of 40 characters":     {vars("UPSTREAMS="+long(40), strings.ToUpper(long(40))+"_PROVIDER=socialboards", strings.ToUpper(long(40))+"_CLIENT_ID=x"), vars("UPSTREAMS=" + long(41))},
		"name that begins with a":   {vars("UPSTREAMS=a", "A_PROVIDER=socialboards", "A_CLIENT_ID=x"), vars("UPSTREAMS=1a")},
		"name that begins with z":   {vars("UPSTREAMS=z", "Z_PROVIDER=socialboards", "Z_CLIENT_ID=x"), vars("UPSTREAMS=-z")},
		"path of a socket":          {park("LISTEN=unix:/" + long(106)), park("LISTEN=unix:/" + long(107))},
		"directory of a socket":     {park("LISTEN=unix:/" + long(97) + "/s"), park("LISTEN=unix:/" + long(98) + "/s")},
		"blank in a path":           {park("LISTEN=unix:/a b"), park("LISTEN=unix:/a\x1fb")},
		"mode of a socket":          {park("LISTEN=unix:/s", "SOCKET_MODE=0777"), park("LISTEN=unix:/s", "SOCKET_MODE=01000")},
		"host name of 253":          {park("ALLOWED_HOSTS=" + host(253)), park("ALLOWED_HOSTS=" + host(254))},
		"label of 63":               {park("ALLOWED_HOSTS=" + long(63) + ".test"), park("ALLOWED_HOSTS=" + long(64) + ".test")},
		"text after an address":     {park("ALLOWED_HOSTS=[::1]"), park("ALLOWED_HOSTS=[::1]x")},
		"scheme that begins with a": {park("ALLOWED_ORIGINS=app://x"), park("ALLOWED_ORIGINS=1app://x")},
		"scheme that begins with z": {park("ALLOWED_ORIGINS=zip://x"), park("ALLOWED_ORIGINS={ip://x")},
		"localhost covers ::1":      {two("PARK_LISTEN=localhost:8080", "SHOP_LISTEN=[::1]:8081"), two("PARK_LISTEN=localhost:8080", "SHOP_LISTEN=[::1]:8080")},
		"localhost covers 127":      {two("PARK_LISTEN=localhost:8080", "SHOP_LISTEN=127.0.0.2:8080"), two("PARK_LISTEN=localhost:8080", "SHOP_LISTEN=127.0.0.1:8080")},
		"unknown account":           {two(), two("PARK_ACCOUNT=x", "SHOP_ACCOUNT=y")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tt.good, nil); err != nil {
				t.Errorf("good: %v", err)
			}
			if _, err := parse(tt.bad, nil); err == nil {
				t.Error("the bad value was accepted")
			}
		})
	}
}

func TestOriginWithoutItsDefaultPort(t *testing.T) {
	t.Parallel()
	c := mustParse(t, park("ALLOWED_ORIGINS=https://a.test:443,http://b.test:80,https://c.test:80,http://d.test:443"), nil)
	equal(t, "origins", strings.Join(c.AllowedOrigins, " "), "https://a.test http://b.test https://c.test:80 http://d.test:443")
}

// TestCarriageReturnIsNoLineBreak tests that only a line break at the end of a secret's
// file is removed. A carriage return alone is part of the text and not valid in a secret.
func TestCarriageReturnIsNoLineBreak(t *testing.T) {
	t.Parallel()
	environment := vars("PROVIDER=ticketpark", "CLIENT_ID=an-id", "CLIENT_SECRET_FILE=/secret")
	if _, err := parse(environment, testFiles{"/secret": "a-secret\r"}); err == nil {
		t.Error("a secret with a carriage return was accepted")
	}
}

// Mistakes show a value of up to 32 characters in full.
func TestLongValuesAreCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		length int
		shown  bool
	}{{32, true}, {33, false}} {
		value := strings.Repeat("v", tt.length)
		_, err := parse(park("LOG_LEVEL="+value), nil)
		if err == nil || strings.Contains(err.Error(), `"`+value+`"`) != tt.shown {
			t.Errorf("%d characters: %v", tt.length, err)
		}
	}
}

// Mistakes are in the order in which the variables are declared.
func TestFirstVariableComesFirst(t *testing.T) {
	t.Parallel()
	wrong := mistakes(t, vars("AAA=1", "UPSTREAMS=-", "STATE=x"), nil)
	equal(t, "first", wrong[0].Variable, "TICKETPROXY_UPSTREAMS")
}

func TestUnknownAccountWithoutAnyOwner(t *testing.T) {
	t.Parallel()
	wrong := mistakes(t, two("PARK_ACCOUNT=x", "SHOP_ACCOUNT=y", "PARK_CLIENT_ID=", "PARK_CLIENT_SECRET=", "PARK_PROVIDER="), nil)
	if wrong[0].Hint != "leave it out: no other upstream has an account" {
		t.Errorf("%+v", wrong)
	}
}

func TestHelpHasTwoPartsAndNamesFiles(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := config.Help(&b); err != nil {
		t.Fatal(err)
	}
	upstream, program, ok := strings.Cut(b.String(), "\nThe whole program:\n")
	if !ok || strings.Contains(program, "The whole program") || !strings.Contains(upstream, "_COOKIES") || !strings.Contains(program, "_STATE") {
		t.Error(b.String())
	}
	for line, want := range map[string]bool{
		"\n  TICKETPROXY_CLIENT_SECRET, or TICKETPROXY_CLIENT_SECRET_FILE\n": true,
		"\n  TICKETPROXY_CLIENT_ID\n":                                        true,
	} {
		if strings.Contains(upstream, line) != want {
			t.Errorf("help lacks %q", line)
		}
	}
}
