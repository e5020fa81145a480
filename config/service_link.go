package config

import (
	"net/url"
	"regexp"
	"strings"
)

// isServiceLink reports whether a variable is one that Kubernetes sets in every Pod that
// shares a namespace with a Service called ticketproxy or ticketproxy-something. No person
// wrote it, so it is not a misspelling.
//
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func isServiceLink(name, value string) bool {
	shape := regexp.MustCompile(`^TICKETPROXY(_[A-Z0-9_]+)?_` +
		`(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	port := regexp.MustCompile(`^TICKETPROXY(_[A-Z0-9_]+)?_PORT$`)
	return shape.MatchString(name) || port.MatchString(name) && strings.Contains(value, "://")
}

// hostOfService reports a HOST that Kubernetes has set. The variable of an upstream that is
// called x-service has the name of one that Kubernetes sets for a Service called ticketproxy-x.
// A HOST that a person has written is another one than the Service's address, which
// Kubernetes also tells in a variable that is none of ours.
func (p *parser) hostOfService(d *draft) bool {
	variable := d.variable("HOST")
	service, ok := strings.CutSuffix(variable, "_SERVICE_HOST")
	if !ok {
		return false
	}
	link, err := url.Parse(p.vars[service+"_PORT"])
	if err != nil || link.Hostname() != p.vars[variable] {
		return false
	}
	name := strings.ToLower(strings.ReplaceAll(service, "_", "-"))
	p.report.add(
		variable,
		"is the address that Kubernetes tells of the Service "+quote(name)+", and not a HOST for the upstream "+quote(d.Name),
		"set enableServiceLinks: false in the spec of the Pod, or give the upstream a name that does not end in -service",
	)
	return true
}
