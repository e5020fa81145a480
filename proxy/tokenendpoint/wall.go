package tokenendpoint

import (
	"net/http"
	"strings"

	"ticketproxy/proxy/inbound"
)

// refuseBrowser refuses what a web page has a browser send, also a page of this machine:
// a page is not the place for a token. Browsers send at least one of these fields with each
// request that is a POST, or has a header field of the page's own. The guard knows the
// others.
//
// The fetch of Node.js (20) is no browser, and sends Sec-Fetch-Mode: cors. Browsers
// never send that without Sec-Fetch-Site.
func refuseBrowser(h http.Header) *inbound.Problem {
	for field, values := range h {
		name := normalized(field)
		node := name == "sec-fetch-mode" && len(values) == 1 && values[0] == "cors"
		switch {
		case node:
		case strings.HasPrefix(name, "sec-"),
			strings.HasPrefix(name, "access-control-request-"),
			name == "origin", name == "referer", name == "purpose", name == "x-moz":
			return inbound.NewProblem(http.StatusForbidden, "cross_site", "Web pages may not have tokens",
				"the request comes from a browser: it has the header field "+name)
		}
	}
	return nil
}

// refuseForwarder refuses what came through a proxy, a gateway or a load balancer. It hides
// whose request it is, and may not know that its port leads to tokens.
func refuseForwarder(h http.Header) *inbound.Problem {
	for field := range h {
		name := normalized(field)
		switch {
		case strings.HasPrefix(name, "x-forwarded"), strings.HasPrefix(name, "x-envoy-"),
			strings.HasPrefix(name, "x-original-"):
		case name == "forwarded", name == "via", name == "x-real-ip", name == "x-client-ip", name == "x-cluster-client-ip",
			name == "true-client-ip", name == "cf-connecting-ip", name == "fastly-client-ip", name == "x-proxyuser-ip",
			name == "cdn-loop", name == "max-forwards", name == "proxy-connection":
		default:
			continue
		}
		return inbound.NewProblem(http.StatusForbidden, "forbidden", "Forwarded requests may not have tokens",
			"the request came through a forwarder: it has the header field "+name)
	}
	return nil
}

// normalized returns a field's name in lower case. Some forwarders write underscores.
func normalized(field string) string {
	return strings.ReplaceAll(strings.ToLower(field), "_", "-")
}
