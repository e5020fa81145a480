package process

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNotifier(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	read := func() string {
		b := make([]byte, 100)
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	environ := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": "7"}
	n := NewNotifier(func(name string) string { return environ[name] }, 7)
	n.Ready()
	n.Stopping()
	if first, second := read(), read(); first != "READY=1" || second != "STOPPING=1" {
		t.Errorf("got %q and %q", first, second)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		n.KeepAlive(done)
		close(ended)
	}()
	for range 2 {
		if got := read(); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	close(done)
	<-ended
	if other := NewNotifier(func(name string) string { return environ[name] }, 8); other.watchdog != 0 {
		t.Error("the watchdog is another process's")
	}
	if n.watchdog != 2*time.Millisecond {
		t.Errorf("watchdog of %v", n.watchdog)
	}
	none := NewNotifier(func(string) string { return "" }, 7)
	none.Ready()
	none.KeepAlive(nil)
}

func TestOnJournal(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, stream := range []string{"", "1", "0:0"} {
		if OnJournal(f, stream) {
			t.Errorf("%q is taken for the journal", stream)
		}
	}
}
