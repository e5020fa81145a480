package config_test

import (
	"errors"
	"strings"
	"testing"

	"ticketproxy/config"
	"ticketproxy/config/callers"
)

func TestCallersFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		more []string
		want string // the beginnings of problems; "" for none
	}{
		"good":                {"callers:\n  a: {uid: 1, may: [{upstream: park}, {upstream: shop}], tokens: [park]}\nlimits:\n  park: {heed: true}\n", nil, ""},
		"its own listener":    {"callers: {a: {listen: 127.0.0.1:8083}, b: {listen: 127.0.0.1:8084}}", nil, ""},
		"allowed listener":    {"callers: {a: {listen: 0.0.0.0:8083}}", []string{"ALLOW_UNAUTHENTICATED=true"}, ""},
		"not YAML":            {"callers: [", nil, "line 1: this is not YAML"},
		"two mistakes":        {"callers:\n  a: {uid: x}\n  b: {}\n", nil, "line 2, callers.a.uid: is not a whole number|line 3, callers.b: has nothing that proves it"},
		"unknown upstream":    {"callers:\n  a: {uid: 1, may: [{upstream: pork}]}\n", nil, `line 2, callers.a.may[0].upstream: "pork" is not an upstream`},
		"account of another":  {"callers:\n  a: {uid: 1, tokens: [shop]}\n", []string{"SHOP_ACCOUNT=park"}, `line 2, callers.a.tokens[0]: "shop" is not an account`},
		"limit of no account": {"callers: {}\nlimits: {erp: {heed: true}}", nil, `line 2, limits.erp: "erp" is not an account`},
		"tokens off loopback": {"callers: {a: {listen: 127.0.0.1:8083}}", []string{"TOKEN_LISTEN=0.0.0.0:8084"}, ""},
		"tokens are there": {
			"callers: {a: {listen: 127.0.0.1:8083}}", []string{"TOKEN_LISTEN=0.0.0.0:8083"},
			`line 1, callers.a.listen: "127.0.0.1:8083" is taken by the listener TICKETPROXY_TOKEN_LISTEN`,
		},
		"off loopback":     {"callers:\n  a: {listen: 0.0.0.0:8083}\n", nil, `line 2, callers.a.listen: "0.0.0.0:8083" is off loopback`},
		"a taken listener": {"callers: {a: {listen: 127.0.0.1:9090}}", nil, `line 1, callers.a.listen: "127.0.0.1:9090" is taken by the listener TICKETPROXY_ADMIN_LISTEN`},
		"overlapping ones": {
			"callers: {a: {listen: 0.0.0.0:8083}, b: {listen: 127.0.0.1:8083}}", []string{"ALLOW_UNAUTHENTICATED=true"},
			`line 1, callers.b.listen: "127.0.0.1:8083" is taken by the listener of the caller "a"`,
		},
		"upstreams that nothing tells apart": {
			"callers:\n  a:\n    listen: 127.0.0.1:8083\n    may: [{upstream: park}, {upstream: shop}]\n", nil,
			`line 3, callers.a.listen: serves "park" and "shop", and no request says which of them is meant`,
		},
		"every upstream": {
			"callers: {a: {listen: 127.0.0.1:8083, may: [{upstream: '*'}]}}", nil,
			`line 1, callers.a.listen: serves "park" and "shop", and no request`,
		},
		"upstreams told apart by PREFIX": {
			"callers: {a: {listen: 127.0.0.1:8083, may: [{upstream: '*'}]}}", []string{"SHOP_PREFIX=/shop"}, "",
		},
		"one upstream in two rules": {
			"callers: {a: {listen: 127.0.0.1:8083, may: [{upstream: park}, {upstream: park, methods: [GET]}]}}", nil, "",
		},
		"no own listener": {"callers: {a: {uid: 1, may: [{upstream: '*'}]}}", nil, ""},
		"empty":           {"", []string{"CALLERS_FILE="}, "is empty, and would let everybody call"},
		"missing":         {"", []string{"CALLERS_FILE=/none"}, "names a file that does not exist"},
		"upstreams are wrong, too": {
			"callers:\n  a: {uid: 1, may: [{upstream: x}]}\n", []string{"UPSTREAMS=park,shop,X"},
			`"X" is not a name for an upstream`,
		},
	} {
		environment := two(append([]string{"CALLERS_FILE=/callers"}, c.more...)...)
		_, err := parse(environment, testFiles{"/callers": c.text})
		var got []string
		if wrong, ok := errors.AsType[*config.Error](err); ok {
			for _, m := range wrong.Mistakes {
				got = append(got, m.Problem)
				if m.Hint == "" {
					t.Errorf("%s: %q has no hint", name, m.Problem)
				}
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, "|")
		}
		same := len(got) == len(want)
		for i := range want {
			same = same && strings.HasPrefix(got[i], want[i])
		}
		if !same {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestReadCallers(t *testing.T) {
	t.Parallel()
	c := config.Config{CallersFile: t.TempDir()}
	if _, err := c.ReadCallers(); err == nil || strings.Contains(err.Error(), c.CallersFile) || errors.As(err, new(*callers.Error)) {
		t.Errorf("error %v", err)
	}
}
