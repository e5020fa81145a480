package proxy

import (
	"net/url"
	"slices"
	"strings"
)

// without returns a raw query less the parameters of some names; what is left
// stays byte for byte.
func without(query string, names []string) string {
	if len(names) == 0 || query == "" {
		return query
	}
	var kept []string
	dropped := false
	for part := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(part, "=")
		if name, err := url.QueryUnescape(key); err == nil && slices.Contains(names, name) {
			dropped = true
			continue
		}
		kept = append(kept, part)
	}
	if !dropped {
		return query
	}
	return strings.Join(kept, "&")
}
