package config_test

import (
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"ticketproxy/config"
)

func TestStateKey(t *testing.T) {
	t.Parallel()
	first, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	second, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	files := testFiles{
		"/keys":      "# public key: " + first.Recipient().String() + "\n" + first.String() + "\n" + second.String() + "\n",
		"/ssh":       "-----BEGIN OPENSSH PRIVATE KEY-----\n",
		"/empty":     "",
		"/forbidden": "forbidden",
	}
	for _, recipient := range []string{"", first.Recipient().String(), second.Recipient().String()} {
		c := mustParse(t, park("STATE_KEY_FILE=/keys", "STATE_RECIPIENT="+recipient), files)
		if c.StateKeyFile != "/keys" || c.StateRecipient.String() != recipient ||
			!slices.Contains(c.SecretFiles, config.SecretFile{Variable: "TICKETPROXY_STATE_KEY_FILE", Path: "/keys"}) {
			t.Errorf("%+v", c)
		}
	}
	if c := mustParse(t, park("STATE_RECIPIENT="+stranger.Recipient().String()), files); c.StateRecipient.IsZero() {
		t.Error("the recipient alone is lost")
	}
	for lines, want := range map[string][2]string{
		"STATE_KEY_FILE=/none":                 {"STATE_KEY_FILE", "does not exist"},
		"STATE_KEY_FILE=/forbidden":            {"STATE_KEY_FILE", "may not be read"},
		"STATE_KEY_FILE=/empty":                {"STATE_KEY_FILE", "no line is an identity"},
		"STATE_KEY_FILE=/ssh":                  {"STATE_KEY_FILE", "line 1 begins a key of SSH or TLS"},
		"STATE_RECIPIENT=age1":                 {"STATE_RECIPIENT", "is a recipient with a mistake in it"},
		"STATE_RECIPIENT=" + first.String():    {"STATE_RECIPIENT", "is an identity, which is secret"},
		"STATE_RECIPIENT=ssh-ed25519 AAAAcafe": {"STATE_RECIPIENT", "is not a recipient"},
		"STATE_KEY_FILE=/keys|STATE_RECIPIENT=" + stranger.Recipient().String(): {
			"STATE_RECIPIENT", "is the recipient of no identity in the file of STATE_KEY_FILE",
		},
	} {
		_, err := parse(park(strings.Split(lines, "|")...), files)
		if err == nil || !strings.HasPrefix(err.Error(), config.Prefix+want[0]+": ") || !strings.Contains(err.Error(), want[1]) ||
			strings.Count(err.Error(), "\nhint: ") != 1 || strings.Contains(err.Error(), first.String()) {
			t.Errorf("%.40s: %v, want %s", lines, err, want)
		}
	}
}
