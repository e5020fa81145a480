package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// bindUnix listens at a path, with a file of that mode. The socket is bound in a
// directory that only this user can enter, and linked into its place when it has
// its mode. A umask would change the files of every goroutine. The link replaces nothing.
func (n Network) bindUnix(ctx context.Context, path string, mode fs.FileMode) (sockets []net.Listener, err error) {
	dir := filepath.Join(filepath.Dir(path), "."+rand.Text()[:5]) // short, since config.bindRoom is
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bound := filepath.Join(dir, "s")
	socket, err := n.listen(ctx, "unix", bound)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			socket.Close()
		}
	}()
	if unix, ok := socket.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	if err := os.Chmod(bound, mode); err != nil {
		return nil, err
	}
	file, err := os.Lstat(bound)
	if err != nil {
		return nil, err
	}
	err = withLock(filepath.Dir(path), func() error {
		if err := clearSocket(path); err != nil {
			return err
		}
		return os.Link(bound, path)
	})
	if err != nil {
		return nil, err
	}
	return []net.Listener{&unixListener{socket, path, file}}, nil
}

// A unixListener removes its file when it is closed.
type unixListener struct {
	net.Listener
	path string
	file fs.FileInfo
}

// Addr is where clients reach the listener.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the file first, unless another process has its own there.
func (l *unixListener) Close() error {
	err := withLock(filepath.Dir(l.path), func() error {
		if now, err := os.Lstat(l.path); err != nil || !os.SameFile(now, l.file) {
			return nil
		}
		return os.Remove(l.path)
	})
	return errors.Join(l.Listener.Close(), err)
}

// withLock calls change while no other instance changes the sockets in dir:
// between finding a socket dead and removing it, another could put a live one
// there.
func withLock(dir string, change func() error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", dir, err)
	}
	return change()
}

// clearSocket removes a socket that a killed process has left behind, on which
// nobody listens.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another process listens on the socket: %w", syscall.EADDRINUSE)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}
