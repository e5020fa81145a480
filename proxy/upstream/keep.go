package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// keepMargin is how long before the upstream closes a connection it gets no request any more. One that
// leaves while the upstream closes the connection is lost, and nobody can tell whether it had an
// effect, so it cannot be sent again.
const keepMargin = time.Second

// keepTime returns how long a connection may be idle after an answer and still serve a request.
// Many servers say after what time they close it (Keep-Alive: timeout=5; RFC 2068, section 19.7.1.1):
// Node and Apache after 5 s by default.
func keepTime(answer http.Header) time.Duration {
	for _, line := range answer["Keep-Alive"] {
		for parameter := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(parameter, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "timeout") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(value, " \t\""), 10, 31)
			if err != nil {
				continue
			}
			said := time.Duration(seconds) * time.Second
			return min(said-min(keepMargin, said/2), maxIdleTime)
		}
	}
	return maxIdleTime
}
