package server

import (
	"time"

	"go.uber.org/zap"
)

// reload reads the files again. The environment stays as it was at the start, so
// only what files hold can be new: client secrets, certificates and seeds. When
// one of them is wrong, all stays as it was, and status says so.
func (s *Server) reload() {
	c, err := s.options.Reload()
	if err != nil {
		s.log.Error("reading the files again: going on with what they held before", zap.Error(err))
		warning := "the files could not be read again at " + time.Now().UTC().Format(time.RFC3339) +
			", and what they held before is in use: " + err.Error()
		s.reloadWarning.Store(&warning)
		return
	}
	s.use(c)
	s.reloadWarning.Store(nil)
	s.lookAtSecrets(c)
	s.log.Info("the files were read again")
}
