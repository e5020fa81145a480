package command

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"

	"ticketproxy/server"
)

// serve tells systemd when it has started, and when it drains.
func TestServeNotifiesSystemd(t *testing.T) {
	t.Parallel()
	dir, network := t.TempDir(), newNetwork()
	path := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	env := &Env{
		Environ: []string{
			"NOTIFY_SOCKET=" + path, "STATE_DIRECTORY=" + filepath.Join(dir, "state"),
			"TICKETPROXY_PROVIDER=socialboards", "TICKETPROXY_CLIENT_ID=x",
		},
		Stdout:  io.Discard,
		Stderr:  io.Discard,
		Network: server.Network{Listen: network.listen, Dial: network.dial},
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, env, []string{"serve"}) }()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		message := make([]byte, 100)
		n, err := socket.Read(message)
		if got := string(message[:n]); got != want || err != nil {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
		stop()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
