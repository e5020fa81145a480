package config_test

import (
	"errors"
	"strings"
	"testing"

	"ticketproxy/config"
)

// xService returns the environment of an upstream that is called x-service. host is its HOST;
// address is where a Service called ticketproxy-x is, which Kubernetes tells of; "" is none.
func xService(host, address string) []string {
	all := vars("UPSTREAMS=x-service", "X_SERVICE_PROVIDER=socialboards", "X_SERVICE_CLIENT_ID=an-id", "X_SERVICE_HOST="+host)
	if address == "" {
		return all
	}
	return append(all, vars("X_SERVICE_PORT=80", "X_SERVICE_PORT_HTTP=80", "X_PORT=tcp://"+address+":80",
		"X_PORT_80_TCP=tcp://"+address+":80", "X_PORT_80_TCP_PROTO=tcp", "X_PORT_80_TCP_PORT=80", "X_PORT_80_TCP_ADDR="+host)...)
}

// TestHostOfAService tests that the address of a Service called ticketproxy-x, which
// Kubernetes tells of in a variable that is also the HOST of an upstream called x-service, is
// not taken for that HOST.
func TestHostOfAService(t *testing.T) {
	t.Parallel()
	for host, address := range map[string]string{"10.0.0.1": "10.0.0.1", "fd00::1": "[fd00::1]"} {
		_, err := parse(xService(host, address), nil)
		e, ok := errors.AsType[*config.Error](err)
		if !ok || len(e.Mistakes) != 1 {
			t.Fatalf("%s: %v, want one mistake", host, err)
		}
		m := e.Mistakes[0]
		equal(t, "variable", m.Variable, "TICKETPROXY_X_SERVICE_HOST")
		equal(t, "problem", m.Problem, `is the address that Kubernetes tells of the Service "ticketproxy-x", `+
			`and not a HOST for the upstream "x-service"`)
		if !strings.Contains(m.Hint, "enableServiceLinks: false") || !strings.Contains(m.Hint, "does not end in -service") {
			t.Errorf("hint %q", m.Hint)
		}
	}
}

// TestOwnHostBesideAService tests that a HOST which a person has written is taken, also an
// address, and also where there is such a Service: the Pod's own variables replace those of
// Kubernetes.
func TestOwnHostBesideAService(t *testing.T) {
	t.Parallel()
	for host, address := range map[string]string{"park.localhost": "10.0.0.1", "10.0.0.2": "10.0.0.1", "10.0.0.3": "", "": "10.0.0.1"} {
		c := mustParse(t, xService(host, address), nil)
		equal(t, "HOST", c.Upstreams[0].Host, host)
	}
}
