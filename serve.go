package main

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ticketproxy/proxy"
)

const (
	storeTimeout = 10 * time.Second
	leastFlush   = 5 * time.Second // for a refresh under way, however long requests took to drain
)

// serve runs the proxy until ctx is done, and drains it then.
func serve(ctx context.Context, p *process, args []string) error {
	if err := noArguments("serve", args); err != nil {
		return err
	}
	p.signals.begin()
	c, err := p.configure()
	if err != nil {
		return err
	}
	log := p.logger(c)
	defer runtime.KeepAlive(p.ballast())
	m, err := p.assemble(c, log)
	if err != nil {
		return err
	}
	return errors.Join(m.run(ctx, p, nil), m.closeState())
}

// run listens, serves and refreshes until ctx is done, then drains. It calls
// ready with the addresses, in the order of m.servers, once all listen.
func (m *product) run(ctx context.Context, p *process, ready func(apps []net.Addr)) error {
	ctx, m.quit = context.WithCancel(ctx)
	defer m.quit()
	var sockets [][]net.Listener // of each listener
	all := m.servers
	if m.admin != nil {
		all = append(all[:len(all):len(all)], m.admin)
	}
	for _, l := range all {
		opened, err := p.open(ctx, l)
		if err != nil {
			closeAll(slices.Concat(sockets...))
			return err
		}
		sockets = append(sockets, opened)
	}

	refreshing, stopRefreshing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRefreshing()
	var refreshers sync.WaitGroup
	for _, r := range m.refreshers {
		refreshers.Go(func() { r.Run(refreshing) })
	}
	g, failed := errgroup.WithContext(ctx)
	var apps []net.Addr
	for i, l := range all {
		for _, socket := range sockets[i] {
			g.Go(func() error { return l.server.Serve(socket) })
			m.log.Info("listening", zap.Stringer("address", socket.Addr()), zap.String("for", l.purpose()))
		}
		if l != m.admin {
			apps = append(apps, sockets[i][0].Addr())
		}
	}
	if ready != nil {
		ready(apps)
	}

	m.untilEnd(failed, p)
	drained := m.drain(all, p.signals.hurry) // which ends what g waits for
	err := errors.Join(g.Wait(), drained)
	stopRefreshing()
	refreshers.Wait()
	return err
}

// terminalDelay is how long after SIGHUP the terminal may still be there: a
// shell that ends sends the signal first.
const terminalDelay = time.Second

// untilEnd returns when ctx is done, or the terminal has been closed. A SIGHUP
// for any other reason has files read again.
func (m *product) untilEnd(ctx context.Context, p *process) {
	var closing <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.signals.hangup:
			closing = time.After(terminalDelay)
			m.reload(p)
		case <-closing:
			closing = nil
		}
		if p.signals.terminalGone() {
			m.log.Info("the terminal was closed")
			return
		}
	}
}

// drain ends the servers, and then the refreshers: a token request that is
// under way is finished, and what it gave is stored. When hurry is closed it
// cuts off the requests in flight, but not that. Its error joins all that went
// wrong.
func (m *product) drain(servers []*listener, hurry <-chan struct{}) error {
	m.log.Info("draining")
	m.draining.Store(true)
	unhurried, cutOff := context.WithCancel(context.Background())
	defer cutOff()
	go func() {
		select {
		case <-hurry:
			m.log.Warn("cutting off requests in flight because a second signal came; token requests are still finished")
			cutOff()
		case <-unhurried.Done():
		}
	}()
	select {
	case <-time.After(m.config.DrainDelay):
	case <-unhurried.Done():
	}
	deadline := time.Now().Add(m.config.DrainTimeout)
	ctx, cancel := context.WithDeadline(unhurried, deadline)
	defer cancel()
	var apps []*proxy.Server
	for _, l := range servers {
		if l != m.admin {
			apps = append(apps, l.server)
		}
	}
	err := drainAll(ctx, apps)

	flush, cancelFlush := context.WithTimeout(context.Background(), max(time.Until(deadline), leastFlush))
	defer cancelFlush()
	err = errors.Join(err, drainAll(flush, m.refreshers))
	if m.admin != nil {
		err = errors.Join(err, m.admin.server.Drain(flush))
	}
	m.log.Info("stopped")
	return err
}

// drainAll drains all at the same time and returns every error.
func drainAll[T interface{ Drain(context.Context) error }](ctx context.Context, all []T) error {
	errs := make([]error, len(all))
	var draining sync.WaitGroup
	for i, one := range all {
		draining.Go(func() { errs[i] = one.Drain(ctx) })
	}
	draining.Wait()
	return errors.Join(errs...)
}
