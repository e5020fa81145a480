package server

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ticketproxy/proxy/inbound"
)

// minRefresherDrain is the least time for a refresh that is under way, however long
// requests took to drain. An issuer may take longer (issuer.Config.Timeout), but a
// container is killed 30 s after SIGTERM.
const minRefresherDrain = 5 * time.Second

// Run listens, serves and refreshes until ctx is done, then drains, and closes
// the state. Unless ready is nil, it is called once all listen, with the
// addresses of the listeners for apps in the order of the upstreams. Its error
// joins all that went wrong. Run may be called once.
func (s *Server) Run(ctx context.Context, ready func(apps []net.Addr)) error {
	return errors.Join(s.run(ctx, ready), s.Close())
}

func (s *Server) run(ctx context.Context, ready func(apps []net.Addr)) error {
	ctx, s.quit = context.WithCancel(ctx)
	defer s.quit()
	var sockets [][]net.Listener // of each listener
	all := slices.Clone(s.apps)
	for _, l := range []*listener{s.tokens, s.admin} {
		if l != nil {
			all = append(all, l)
		}
	}
	for _, l := range all {
		opened, err := s.options.Network.open(ctx, l)
		if err != nil {
			closeAll(slices.Concat(sockets...))
			return err
		}
		sockets = append(sockets, opened)
	}

	refreshing, stopRefreshing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRefreshing()
	var refreshers sync.WaitGroup
	for _, a := range s.accounts {
		refreshers.Go(func() { a.Run(refreshing) })
	}
	g, failed := errgroup.WithContext(ctx)
	var apps []net.Addr
	for i, l := range all {
		for _, socket := range sockets[i] {
			g.Go(func() error { return l.server.ServeTLS(socket, l.tls) })
			s.log.Info("listening", zap.Stringer("address", socket.Addr()), zap.String("for", l.purpose()))
		}
		if l.upstreams != nil && l.caller == "" {
			apps = append(apps, sockets[i][0].Addr())
		}
	}
	if ready != nil {
		ready(apps)
	}

	s.untilEnd(failed)
	drained := s.drain(all, s.options.Signals.Second) // which ends what g waits for
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
func (s *Server) untilEnd(ctx context.Context) {
	var closing <-chan time.Time
	reloads := make(chan struct{}, 1)
	go s.reloadWhenAsked(ctx, reloads)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.options.Signals.Hangup:
			closing = time.After(terminalDelay)
			select {
			case reloads <- struct{}{}:
			default: // one is asked for already
			}
		case <-closing:
			closing = nil
		}
		if s.options.Signals.TerminalGone() {
			s.log.Info("the terminal was closed")
			return
		}
	}
}

// reloadWhenAsked reads the files again with each value of asked, until ctx is done, and
// CALLERS_FILE when it changes. It has a goroutine of its own, since a disk that does not
// answer must not hold up a drain.
func (s *Server) reloadWhenAsked(ctx context.Context, asked <-chan struct{}) {
	poll := time.NewTicker(callersPoll)
	defer poll.Stop()
	if s.callers == nil {
		poll.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			if s.callers.update(false) {
				s.useCallers()
			}
		case <-asked:
			slow := time.AfterFunc(reloadPatience, func() {
				s.log.Warn("reading the files again takes long: the disk of one of them may not answer")
			})
			s.reload(ctx)
			slow.Stop()
		}
	}
}

// reloadPatience is after what time it is logged that files are still being read.
const reloadPatience = 10 * time.Second

// drain ends the servers, and then the refreshers: a token request that is
// under way is finished, and what it gave is stored. When second is closed it
// cuts off the requests in flight, but not that. Its error joins all that went
// wrong.
func (s *Server) drain(servers []*listener, second <-chan struct{}) error {
	s.log.Info("draining")
	s.draining.Store(true)
	if s.options.Draining != nil {
		s.options.Draining()
	}
	patient, cutOff := context.WithCancel(context.Background())
	defer cutOff()
	go func() {
		select {
		case <-second:
			s.log.Warn("cutting off requests in flight because a second signal came; token requests go on")
			cutOff()
		case <-patient.Done():
		}
	}()
	select {
	case <-time.After(s.config.DrainDelay):
	case <-patient.Done():
	}
	deadline := time.Now().Add(s.config.DrainTimeout)
	ctx, cancel := context.WithDeadline(patient, deadline)
	defer cancel()
	var apps []*inbound.Server
	for _, l := range servers {
		if l != s.admin {
			apps = append(apps, l.server)
		}
	}
	err := drainAll(ctx, apps)

	flush, cancelFlush := context.WithTimeout(context.Background(), max(time.Until(deadline), minRefresherDrain))
	defer cancelFlush()
	err = errors.Join(err, drainAll(flush, s.accounts))
	if s.admin != nil {
		err = errors.Join(err, s.admin.server.Drain(flush))
	}
	s.log.Info("stopped")
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
