package command

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
)

// A network has connections in memory, so that the program runs in a synctest bubble. Its
// addresses look like TCP addresses.
type network struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
}

func newNetwork() *network { return &network{listeners: map[string]*memoryListener{}} }

func (n *network) listen(_ context.Context, _, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		return nil, syscall.EADDRINUSE
	}
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &memoryListener{network: n, address: address, addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	if port, ok := strings.CutPrefix(address, "127.0.0.1:"); ok && l == nil {
		l = n.listeners["0.0.0.0:"+port]
	}
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	select {
	case l.conns <- memoryConn{far, addr}:
		return memoryConn{near, addr}, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memoryListener struct {
	network *network
	address string
	addr    net.Addr
	conns   chan net.Conn
	once    sync.Once
	done    chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, errors.Join(net.ErrClosed)
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.address)
		close(l.done)
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

type memoryConn struct {
	net.Conn
	addr net.Addr
}

func (c memoryConn) LocalAddr() net.Addr  { return c.addr }
func (c memoryConn) RemoteAddr() net.Addr { return c.addr }

// A netListener listens on real sockets.
type netListener struct{ net.ListenConfig }

func (l *netListener) listen(ctx context.Context, network, address string) (net.Listener, error) {
	return l.Listen(ctx, network, address)
}
