package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ticketproxy/config"
)

// TestSocketHasItsModeFromTheStart checks that a socket has its mode before anybody
// can reach it, and that no file is left.
func TestSocketHasItsModeFromTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	n := Network{Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
		if info, err := os.Stat(filepath.Dir(address)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("bound at %s, in a directory of mode %v, %v", address, info.Mode(), err)
		}
		return new(net.ListenConfig).Listen(ctx, network, address)
	}}
	sockets, err := n.open(t.Context(), &listener{address: config.Address{Network: "unix", Address: path}, mode: 0o660})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o660 || sockets[0].Addr().String() != path {
		t.Errorf("mode %v, error %v, address %v", info.Mode(), err, sockets[0].Addr())
	}
	closeAll(sockets)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestSocketIsNotStolen opens a dead socket many times at once, and checks that one
// listener gets it and can be reached.
func TestSocketIsNotStolen(t *testing.T) {
	t.Parallel()
	for range 20 {
		l := &listener{address: config.Address{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}, mode: 0o600}
		var n Network
		dead, err := n.open(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		dead[0].(*unixListener).Listener.Close()
		var mu sync.Mutex
		var got []net.Listener
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if sockets, err := n.open(t.Context(), l); err == nil {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, sockets...)
				}
			})
		}
		all.Wait()
		if len(got) != 1 {
			t.Errorf("%d have the socket", len(got))
		}
		if conn, err := net.Dial("unix", l.address.Address); err != nil {
			t.Error(err)
		} else {
			conn.Close()
		}
		closeAll(got)
	}
}

// TestLiveSocketIsKept checks that an instance inspects a socket only under the lock:
// another instance may have replaced a dead socket before.
func TestLiveSocketIsKept(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		l := &listener{address: config.Address{Network: "unix", Address: filepath.Join(dir, "s")}, mode: 0o600}
		var real Network
		dead, err := real.open(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		dead[0].(*unixListener).Listener.Close()

		bound, opened := make(chan struct{}), make(chan error, 1)
		late := Network{Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
			defer close(bound)
			return real.listen(ctx, network, address)
		}}
		var alive net.Listener
		if err := withLock(dir, func() error {
			go func() {
				sockets, err := late.open(t.Context(), l)
				closeAll(sockets)
				opened <- err
			}()
			<-bound
			os.Remove(l.address.Address)
			alive, err = net.Listen("unix", l.address.Address)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-opened; err == nil {
			t.Error("a live socket was replaced")
		}
		if conn, err := net.Dial("unix", l.address.Address); err != nil {
			t.Error(err)
		} else {
			conn.Close()
		}
		alive.Close()
	}
}

// TestSocketOfAKilledProcessIsReplaced also checks that a socket in use is not
// replaced.
func TestSocketOfAKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l := &listener{address: config.Address{Network: "unix", Address: path}, mode: 0o600}
	var n Network
	first, err := n.open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if _, err := n.open(t.Context(), l); err == nil {
		t.Error("a socket in use was replaced")
	}
	first[0].(*unixListener).Listener.Close() // as kill -9 leaves it
	second, err := n.open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(second)
}
