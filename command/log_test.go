package command

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"ticketproxy/config"
)

// TestJournalPriorities tests that the journal gets a priority with each line.
func TestJournalPriorities(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	env := &Env{Stderr: &out, Journal: true}
	log := env.logger(config.Config{LogLevel: "debug", LogFormat: "json"}).Named("tokens").With(zap.String("account", "park"))
	log.Debug("one")
	log.Info("two")
	log.Warn("three")
	log.Error("four")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{"<7>{", "<6>{", "<4>{", "<3>{"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) || !strings.Contains(lines[i], `"account":"park"`) {
			t.Errorf("line %d of %q does not begin with %s", i, lines, want)
		}
	}
}
