package kubernetes

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"ticketproxy/hint"
)

// advise adds what helps against a refusal of the API server.
func (s *Secret) advise(err error, verb string) error {
	if advice := s.adviceFor(err, verb); advice != "" {
		return hint.With(err, advice)
	}
	return err
}

// adviceFor returns a hint for an answer of the API server; "" without one. What is wrong
// within a code is only in the message.
func (s *Secret) adviceFor(err error, verb string) string {
	status, answered := errors.AsType[*statusError](err)
	if !answered {
		return ""
	}
	has := func(text string) bool { return strings.Contains(status.message, text) }
	switch {
	case status.code == http.StatusForbidden && has("being terminated"):
		return fmt.Sprintf("namespace %s is being deleted: wait for that and create it again, or name another", s.namespace)
	case status.code == http.StatusForbidden && has("exceeded quota"):
		return fmt.Sprintf("raise the quota: kubectl -n %s describe resourcequota", s.namespace)
	case status.code == http.StatusForbidden:
		return s.advice(verb, userIn(status.message))
	case status.code == http.StatusUnauthorized:
		return "the token or certificate has expired, or is another cluster's: see the user and the cluster of the " +
			"kubeconfig's context, or the pod's ServiceAccount"
	case status.code == http.StatusNotFound:
		return "create the namespace: kubectl create namespace " + s.namespace
	case status.code == http.StatusUnprocessableEntity && has("immutable"):
		return fmt.Sprintf("make it anew without immutable: kubectl -n %s get secret %s -o yaml | grep -v '^immutable:' | "+
			"kubectl replace --force -f -", s.namespace, s.name)
	case status.code == http.StatusRequestEntityTooLarge, status.code == http.StatusUnprocessableEntity && has("Too long"):
		return fmt.Sprintf("a Secret holds at most 1 MiB: remove other keys from %v, or name a Secret of its own in "+
			"TICKETPROXY_STATE", s)
	}
	return ""
}

// advice says how an administrator allows a refresher a verb; user is as allow takes it.
func (s *Secret) advice(verb, user string) string {
	if verb == "create" {
		return fmt.Sprintf("create it: kubectl -n %s create secret generic %s; or allow this user to create secrets there",
			s.namespace, s.name)
	}
	state := s.name
	if s.access == nil {
		state = strings.TrimSuffix(state, accessSuffix)
	}
	return s.allow(state+"-refresher", "get,watch,patch", user, state, state+accessSuffix)
}

// readerAdvice says how an administrator allows a reader to use the Secret with the access
// tokens; user is as allow takes it.
func (s *Secret) readerAdvice(user string) string {
	return s.allow(s.name+"-reader", "get,watch", user, s.name)
}

// flagAdvice says how an administrator allows a reader to raise flags. The role is another
// one, since the reader's is there already.
func (s *Secret) flagAdvice(user string) string {
	return s.allow(s.name+"-flag", "patch", user, s.name)
}

// allow returns the commands that make a role with verbs on Secrets, and bind it to a user;
// "" is a user whose name is not known.
func (s *Secret) allow(role, verbs, user string, secrets ...string) string {
	subject, where := "--user=USER", ", where USER is the user that kubectl auth whoami shows"
	if user != "" {
		subject, where = "--user="+user, ""
	}
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		subject = "--serviceaccount=" + account
	}
	return fmt.Sprintf("allow it: kubectl -n %s create role %s --verb=%s --resource=secrets --resource-name=%s && "+
		"kubectl -n %s create rolebinding %s --role=%s %s%s",
		s.namespace, role, verbs, strings.Join(secrets, " --resource-name="),
		s.namespace, role, role, subject, where)
}

// userName is how a refusal of RBAC names the user. It has no name that a shell would change.
var userName = regexp.MustCompile(`User "([A-Za-z0-9:._@/+-]+)" cannot `)

// userIn returns the user that a refusal names; "" when it names none.
func userIn(message string) string {
	if found := userName.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return ""
}

// userOf returns the user that a refusal names; "" when it names none.
func userOf(err error) string {
	if status, ok := errors.AsType[*statusError](err); ok {
		return userIn(status.message)
	}
	return ""
}

// adviseTLS adds what helps when the server's certificate cannot be trusted.
func adviseTLS(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return hint.With(err, "name the authority of the API server's certificate: certificate-authority in the "+
			"kubeconfig's cluster, or ca.crt of the pod's ServiceAccount")
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return hint.With(err, "set tls-server-name of the kubeconfig's cluster to a name that the API server's "+
			"certificate has, or remove it")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return hint.With(err, "see that this machine's clock is right; then renew the API server's certificate")
	}
	return err
}
