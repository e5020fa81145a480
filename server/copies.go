package server

import (
	"cmp"

	"go.uber.org/zap"

	"ticketproxy/hint"
	"ticketproxy/tokens/store"
)

// logCopies has it logged when access tokens for readers cannot be written.
func logCopies(backend store.Backend, log *zap.Logger) {
	if r, ok := backend.(store.CopyReporter); ok {
		r.ReportCopies(func(err error, exists bool) { logCopy(log, err, exists) })
	}
}

// logCopy logs that access tokens for readers cannot be written, or can again. Nothing in the
// configuration of a refresher says whether there are readers. If nobody has made a place for
// their access tokens, there may be none, and that is no reason to warn.
func logCopy(log *zap.Logger, err error, exists bool) {
	advice := cmp.Or(hint.Of(err), "ticketproxy check tells more")
	switch {
	case err == nil:
		log.Info("access tokens for readers are written again")
	case exists:
		log.Warn("access tokens for readers cannot be written: readers get no newer ones",
			zap.Error(err), zap.String("hint", advice))
	default:
		log.Info("no access tokens are written for readers", zap.Error(err),
			zap.String("hint", "where there are readers, "+advice))
	}
}
