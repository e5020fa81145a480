package server

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"ticketproxy/hint"
)

// reload reads the files again. The environment stays as it was at the start, so
// only what files hold can be new: client secrets, certificates, seeds, callers and the password
// of the state. A file that cannot be used stays as it was, and status says so; the others are
// taken up.
func (s *Server) reload(ctx context.Context) {
	c, mistakes := s.options.Reload()
	if ctx.Err() != nil { // a disk took long to answer, and what would use the files has ended
		return
	}
	var unused []string
	for _, m := range mistakes {
		s.log.Error("reading the files again: going on with what this one held before",
			zap.String("error", m.Variable+": "+m.Problem), zap.String("hint", m.Hint))
		unused = append(unused, m.Variable+": "+m.Problem+" ("+m.Hint+")")
	}
	if s.callers != nil {
		s.callers.update(true)
	}
	s.audit.Reopen()
	s.use(c)
	if err := s.state.renew(s.config.State, c.State); err != nil {
		s.log.Error("going on with the state as it was", zap.Error(err), zap.String("hint", hint.Of(err)))
		unused = append(unused, err.Error())
	}
	s.reloadWarning.Store(nil)
	if len(unused) > 0 {
		warning := "files could not be used as they were read again at " + time.Now().UTC().Format(time.RFC3339) +
			", and what they held before is in use: " + strings.Join(unused, "; ")
		s.reloadWarning.Store(&warning)
	}
	s.lookAtSecrets(c)
	s.log.Info("the files were read again", zap.Int("unused", len(unused)))
}
