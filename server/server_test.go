package server

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"ticketproxy/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer returns a server of two upstreams, and the variables it was made
// with.
func newServer(t *testing.T, more ...string) *Server {
	t.Helper()
	vars := []string{"TICKETPROXY_STATE=memory:", "TICKETPROXY_UPSTREAMS=park,shop", "TICKETPROXY_SHOP_LISTEN=127.0.0.1:8081"}
	for _, prefix := range []string{"TICKETPROXY_PARK_", "TICKETPROXY_SHOP_"} {
		vars = append(vars, prefix+"PROVIDER=generic", prefix+"CLIENT_ID=x", prefix+"CLIENT_AUTH=none", prefix+"ROTATION=none",
			prefix+"UPSTREAM_URL=https://api.example.com", prefix+"TOKEN_URL=https://issuer.example.com/token")
	}
	c, err := config.Parse(config.Environment{Vars: append(vars, more...)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, Options{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestHungReloadDoesNotHoldUpTheDrain: a file on a disk that does not answer, read
// again after SIGHUP, does not keep the program from ending.
func TestHungReloadDoesNotHoldUpTheDrain(t *testing.T) {
	t.Parallel()
	hangup, reading, answer := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	s := newServer(t, "TICKETPROXY_PARK_LISTEN=127.0.0.1:0", "TICKETPROXY_SHOP_LISTEN=127.0.0.1:0", "TICKETPROXY_ADMIN_LISTEN=off")
	s.options.Signals.Hangup = hangup
	s.options.Reload = func() (config.Config, error) {
		close(reading)
		<-answer
		return config.Config{}, errors.New("the disk is gone")
	}
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.run(ctx, func([]net.Addr) { hangup <- struct{}{} }) }()
	<-reading
	end()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	close(answer)
}

func TestServerWarnsOfExposedSecrets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "TICKETPROXY_PARK_REFRESH_TOKEN_FILE="+path)
	if all := s.warnings(); len(all) != 1 || !strings.Contains(all[0], "TICKETPROXY_PARK_REFRESH_TOKEN_FILE (mode 0644)") {
		t.Errorf("warnings %q", all)
	}
}
