package config_test

import (
	"errors"
	"strings"
	"testing"

	"ticketproxy/config"
)

func TestEgressProxies(t *testing.T) {
	t.Parallel()
	for line, good := range map[string]bool{
		"HTTPS_PROXY=":                                   true,
		"HTTPS_PROXY=http://proxy.test:3128":             true,
		"https_proxy=https://me:p%40ss@proxy.test":       true,
		"HTTP_PROXY=socks5://proxy.test":                 true,
		"HTTPS_PROXY=proxy.test:3128":                    true,
		"HTTPS_PROXY=10.0.0.1:3128":                      true,
		"HTTPS_PROXY=http://[::1]:3128":                  true,
		"HTTPS_PROXY=http://me:secret-word@proxy.test:x": false,
		"HTTPS_PROXY=http://me:secret-w%rd@proxy.test":   false,
		"https_proxy=http://proxy.test:70000":            false,
		"HTTP_PROXY=ftp://proxy.test":                    false,
		"http_proxy=http://":                             false,
		"HTTPS_PROXY=a b":                                false,
	} {
		_, err := parse(append(park(), line), nil)
		if good {
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			continue
		}
		name, _, _ := strings.Cut(line, "=")
		var wrong *config.Error
		if !errors.As(err, &wrong) || len(wrong.Mistakes) != 1 || wrong.Mistakes[0].Variable != name || wrong.Mistakes[0].Hint == "" {
			t.Errorf("%s: %v", line, err)
		} else if strings.Contains(err.Error(), "secret-w") {
			t.Errorf("%s is shown: %v", line, err)
		}
	}
	_, err := parse(append(park(), "HTTPS_PROXY=http://proxy.test", "https_proxy=%"), nil)
	if err != nil {
		t.Errorf("a variable that is not used: %v", err)
	}
}
