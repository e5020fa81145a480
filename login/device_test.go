package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
	"ticketproxy/tokens/store/memory"
)

// A deviceIssuer has metadata with a device authorization endpoint. It gives the answers
// to token requests in their order, and notes when they came.
type deviceIssuer struct {
	device  string        // the answer of the device authorization endpoint: a status and a body
	answers []string      // as device; "lost" is no answer
	slow    time.Duration // until a token request is answered
	started time.Time
	asked   []time.Duration // when token requests came, after started
	forms   []string
}

const (
	pending  = `400 {"error":"authorization_pending"}`
	slower   = `400 {"error":"slow_down"}`
	granted  = `200 {"access_token":"the-access-token","token_type":"Bearer","expires_in":600,"refresh_token":"the-refresh-token"}`
	codes    = `200 {"device_code":"the-device-code","user_code":"WDJB-MJHT","verification_uri":"https://id.example/device",` + `"expires_in":600,"interval":5`
	deviceOK = codes + `,"verification_uri_complete":"https://id.example/device?user_code=WDJB-MJHT"}`
)

func (i *deviceIssuer) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := `200 {"issuer":"https://id.example","token_endpoint":"https://id.example/token",` +
		`"authorization_endpoint":"https://id.example/authorize",` +
		`"device_authorization_endpoint":"https://id.example/devices"}`
	if req.Method == http.MethodPost {
		form, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		i.forms = append(i.forms, string(form))
		answer = i.device
		if req.URL.Path == "/token" {
			i.asked = append(i.asked, time.Since(i.started))
			answer, i.answers = i.answers[0], i.answers[1:]
			select {
			case <-time.After(i.slow):
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}
	}
	if answer == "lost" {
		return nil, errors.New("connection reset by peer")
	}
	var status int
	if _, err := fmt.Sscan(answer, &status); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader(answer[4:])),
	}, nil
}

// newDeviceFlow returns a login without a browser that begins now, and prints to out.
func newDeviceFlow(i *deviceIssuer, o Options, out io.Writer) *Flow {
	d, _ := dialect.Lookup("generic")
	i.started = time.Now()
	return &Flow{
		Account: "tickets",
		Client: issuer.New(issuer.Config{
			Dialect: d, ClientID: "the-client", ClientSecret: secret.New("the-client-secret"), Scope: "offline_access",
			IssuerURL: "https://id.example", Transport: i,
		}),
		Seed: func() secret.String { return secret.String{} }, Store: new(memory.Store), Options: o,
		Probe:   func(context.Context) error { return nil },
		Warning: func(tokens.Record) error { return nil },
		Names:   Names{Prefix: "TICKETPROXY_", Endpoint: "TICKETPROXY_ISSUER_URL", Client: "check the client"},
		Stdin:   strings.NewReader(""), Stdout: out, Stderr: out,
		Listen: func(context.Context, string) ([]net.Listener, error) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			return []net.Listener{l}, err
		},
		Browse: func(string) error { return errors.New("a browser was opened") },
	}
}

// runDevice runs a login without a browser, and returns what it printed.
func runDevice(ctx context.Context, i *deviceIssuer, o Options) (printed string, _ error) {
	var out bytes.Buffer
	f := newDeviceFlow(i, o, &out)
	err := f.Run(ctx)
	if err != nil {
		fmt.Fprintf(&out, "error: %v\nhint: %s\n", err, hint.Of(err))
	}
	return out.String(), err
}

// TestDevice tests what follows each answer, and when the issuer is asked again.
func TestDevice(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for name, test := range map[string]struct {
		device  string
		answers []string
		asked   []time.Duration
		want    string
	}{
		"allowed at once": {deviceOK, []string{granted}, []time.Duration{5 * second}, "logged in, generation 1"},
		"waits": {
			deviceOK, []string{pending, slower, pending, granted},
			[]time.Duration{5 * second, 10 * second, 20 * second, 30 * second}, "logged in, generation 1",
		},
		"no answers": {
			deviceOK, []string{"lost", "429 ", "500 ", granted},
			[]time.Duration{5 * second, 15 * second, 35 * second, 75 * second}, "logged in, generation 1",
		},
		"a code in an answer of 200": {
			deviceOK, []string{`200 {"error":"authorization_pending"}`, granted},
			[]time.Duration{5 * second, 10 * second}, "logged in, generation 1",
		},
		"no complete address": {codes + "}", []string{granted}, []time.Duration{5 * second}, "https://id.example/device\n"},
		"Google's spelling": {
			strings.Replace(deviceOK, "verification_uri", "verification_url", 1),
			[]string{granted}, []time.Duration{5 * second}, "https://id.example/device\n",
		},
		"no interval, no end": {
			`200 {"device_code":"the-device-code","user_code":"A","verification_uri":"https://id.example/device"}`,
			[]string{granted}, []time.Duration{5 * second}, "enter the code A there",
		},
		"refused": {
			deviceOK, []string{`400 {"error":"access_denied"}`}, []time.Duration{5 * second},
			"consent was refused (access_denied)\nhint: run ticketproxy login tickets again",
		},
		"expired there": {
			deviceOK, []string{`400 {"error":"expired_token"}`}, []time.Duration{5 * second},
			"the code has expired, and nobody has allowed the access\nhint: run ticketproxy login tickets again",
		},
		"expired here": {
			strings.Replace(deviceOK, "600", "12", 1), []string{pending, pending},
			[]time.Duration{5 * second, 10 * second}, "the code has expired",
		},
		"unknown": {
			deviceOK, []string{`400 {"error":"invalid_grant"}`}, []time.Duration{5 * second},
			"the issuer does not know the code of this login",
		},
		"a wrong client": {
			deviceOK, []string{`401 {"error":"invalid_client"}`}, []time.Duration{5 * second},
			"hint: check the client",
		},
		"not for this client": {
			`400 {"error":"unauthorized_client"}`, nil, nil,
			"The issuer gives no code for a browser on another machine: the issuer does not accept this client",
		},
		"a long interval": {
			strings.Replace(deviceOK, `"interval":5`, `"interval":1e12`, 1), []string{granted},
			[]time.Duration{time.Minute}, "logged in, generation 1",
		},
		"an interval longer than the code's life": {
			strings.NewReplacer(`"interval":5`, `"interval":30`, "600", "4").Replace(deviceOK), nil,
			[]time.Duration{}, "the code has expired",
		},
		"an outage": {
			deviceOK, []string{`503 {"error":"temporarily_unavailable"}`, `400 {"error":"server_error"}`, granted},
			[]time.Duration{5 * second, 15 * second, 35 * second}, "logged in, generation 1",
		},
		"a refusal with a reason": {
			deviceOK, []string{`400 {"error":"access_denied","error_description":"not \u001b you"}`}, nil,
			`(access_denied); the issuer says: "not \x1b you"`,
		},
		"a wrong client at once": {
			`401 {"error":"invalid_client"}`, nil, nil, "the issuer does not accept this client: issuer answered 401 invalid_client\nhint: check the client",
		},
		"nobody": {strings.Replace(deviceOK, "600", "6000", 1), slices.Repeat([]string{pending}, 60), nil, "nobody answered in time (5m0s)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := &deviceIssuer{device: test.device, answers: test.answers}
				printed, err := runDevice(t.Context(), i, Options{NoBrowser: true, Timeout: 5 * time.Minute})
				if !strings.Contains(printed, test.want) || (err == nil) != slices.Contains(test.answers, granted) {
					t.Errorf("%v, want %q in:\n%s", err, test.want, printed)
				}
				if test.asked != nil && !slices.Equal(i.asked, test.asked) {
					t.Errorf("asked at %v, want %v", i.asked, test.asked)
				}
				for _, hidden := range []string{"the-device-code", "the-client-secret", "-token\""} {
					if strings.Contains(printed, hidden) {
						t.Errorf("%s is in:\n%s", hidden, printed)
					}
				}
			})
		})
	}
}

// TestDeviceRequests tests what the issuer is sent.
func TestDeviceRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &deviceIssuer{device: deviceOK, answers: []string{granted}}
		if _, err := runDevice(t.Context(), i, Options{NoBrowser: true, Timeout: time.Minute}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"client_id=the-client&scope=offline_access",
			"device_code=the-device-code&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code",
		}
		if !slices.Equal(i.forms, want) {
			t.Errorf("sent %q, want %q", i.forms, want)
		}
	})
}

// TestDeviceAnswersThatCannotBeShown tests that a terminal gets nothing but text from an
// issuer. The person is asked for the browser's address in place of that.
func TestDeviceAnswersThatCannotBeShown(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"an escape":         strings.Replace(deviceOK, "WDJB-MJHT", `\u001b[2J`, 1),
		"a line feed":       strings.Replace(deviceOK, "WDJB-MJHT", `A\nB`, 1),
		"a reversed text":   strings.Replace(deviceOK, "WDJB-MJHT", `\u202eA`, 1),
		"no code":           strings.Replace(deviceOK, "WDJB-MJHT", "", 1),
		"a long code":       strings.Replace(deviceOK, "WDJB-MJHT", strings.Repeat("A", 1025), 1),
		"no TLS":            strings.Replace(deviceOK, "https", "http", 1),
		"another scheme":    strings.Replace(deviceOK, "https:", "javascript:", 1),
		"no device code":    strings.Replace(deviceOK, "the-device-code", "", 1),
		"two device codes":  strings.Replace(deviceOK, "{", `{"device_code":"x",`, 1),
		"no object":         "200 []",
		"a part":            deviceOK[:len(deviceOK)-1],
		"a long answer":     "200 " + strings.Repeat(" ", 1<<20) + deviceOK[4:],
		"no such endpoint":  "404 <html>",
		"no answer":         "lost",
		"too many requests": "429 ",
	} {
		i := &deviceIssuer{device: answer}
		printed, err := runDevice(t.Context(), i, Options{NoBrowser: true, Timeout: time.Minute})
		if err == nil || !strings.Contains(printed, "The issuer gives no code for a browser on another machine: ") ||
			!strings.Contains(printed, "Allow the access in a browser at this address") ||
			strings.ContainsAny(printed, "\x1b\u202e") {
			t.Errorf("%s: %v:\n%s", name, err, printed)
		}
	}
	i := &deviceIssuer{
		device:  codes + `,"verification_uri_complete":"https://id.example/\u001b[2J"}`,
		answers: []string{granted},
	}
	synctest.Test(t, func(t *testing.T) {
		printed, err := runDevice(t.Context(), i, Options{NoBrowser: true, Timeout: time.Minute})
		if err != nil || strings.Contains(printed, "has the code in it") {
			t.Errorf("%v:\n%s", err, printed)
		}
	})
}

// TestDeviceIsChosen tests that a redirect URI or a port asks for the browser's address.
func TestDeviceIsChosen(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{RedirectURI: "https://shop.example/callback"}, {CallbackPort: 1234}} {
		o.NoBrowser, o.Timeout = true, time.Minute
		printed, err := runDevice(t.Context(), &deviceIssuer{device: deviceOK}, o)
		if err == nil || !strings.Contains(printed, "Allow the access in a browser at this address") ||
			strings.Contains(printed, "WDJB-MJHT") {
			t.Errorf("%+v: %v:\n%s", o, err, printed)
		}
	}
}

// TestDeviceInterrupted tests that an interrupt does not cut off the request whose answer is
// the grant, and that an interrupt between two requests ends the login at once.
func TestDeviceInterrupted(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{
		6 * time.Second: "logged in, generation 1",
		2 * time.Second: "interrupted\nhint: nothing was stored; run ticketproxy login tickets again",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			i := &deviceIssuer{device: deviceOK, answers: []string{granted}, slow: 3 * time.Second}
			printed, _ := runDevice(ctx, i, Options{NoBrowser: true, Timeout: time.Minute})
			if !strings.Contains(printed, want) {
				t.Errorf("interrupted after %v, want %q in:\n%s", after, want, printed)
			}
		})
	}
}
