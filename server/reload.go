package server

import (
	"time"

	"go.uber.org/zap"

	"ticketproxy/hint"
)

// reload reads the files again. The environment stays as it was at the start, so
// only what files hold can be new: client secrets, certificates, seeds, callers and the password
// of the state. When one of them is wrong, all stays as it was, and status says so.
func (s *Server) reload() {
	c, err := s.options.Reload()
	if err != nil {
		s.log.Error("reading the files again: going on with what they held before", zap.Error(err))
		warning := "the files could not be read again at " + time.Now().UTC().Format(time.RFC3339) +
			", and what they held before is in use: " + err.Error()
		s.reloadWarning.Store(&warning)
		return
	}
	if s.callers != nil {
		s.callers.update(true)
	}
	s.audit.Reopen()
	s.use(c)
	if err := s.state.renew(s.config.State, c.State); err != nil {
		s.log.Error("going on with the state as it was", zap.Error(err), zap.String("hint", hint.Of(err)))
	}
	s.reloadWarning.Store(nil)
	s.lookAtSecrets(c)
	s.log.Info("the files were read again")
}
