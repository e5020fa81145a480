package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// Probe proves that records can be stored. It asks the API server what this user may do
// (SelfSubjectAccessReview), and then for a dry run of a write, in which the server checks
// everything and stores nothing.
func (s *Secret) Probe(ctx context.Context) (proved string, err error) {
	o, err := s.get(ctx)
	if err != nil {
		return "", fmt.Errorf("probing %v: %w", s, err)
	}
	exists := o.Metadata.ResourceVersion != ""
	verbs := []string{"get", "patch"}
	if !exists {
		verbs = append(verbs, "create")
	}
	denied, err := s.denied(ctx, verbs...)
	if isStatus(err, http.StatusForbidden) { // the dry run tells, too
		denied, err = nil, nil
	}
	if err != nil {
		return "", fmt.Errorf("probing %v: %w", s, err)
	}
	if denied != nil {
		return "", hint.With(
			fmt.Errorf("this user may not %s %v", strings.Join(denied, " or "), s),
			s.advice(denied[len(denied)-1], ""),
		)
	}
	if err := s.dryRun(ctx, o); err != nil {
		return "", fmt.Errorf("probing %v: %w", s, err)
	}
	proved = fmt.Sprintf("%v can be read and written to", s)
	if !exists {
		proved = fmt.Sprintf("%v is not there, and can be created", s)
	}
	if watch, err := s.may(ctx, "watch"); err == nil && !watch {
		proved += "; this user may not watch it, so a replica follows the others when its own token is due"
	}
	return proved, nil
}

// may reports whether this user may do something to the Secret.
func (s *Secret) may(ctx context.Context, verb string) (bool, error) {
	attributes := map[string]string{"namespace": s.namespace, "verb": verb, "resource": "secrets", "name": s.name}
	if verb == "create" {
		delete(attributes, "name") // as the server does: a name is not known then
	}
	review := map[string]any{
		"apiVersion": "authorization.k8s.io/v1",
		"kind":       "SelfSubjectAccessReview",
		"spec":       map[string]any{"resourceAttributes": attributes},
	}
	var answer struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	err := s.client.do(ctx, http.MethodPost, path, "application/json", review, &answer)
	return answer.Status.Allowed, err
}

// dryRun has the API server check a write of the Secret o.
func (s *Secret) dryRun(ctx context.Context, o object) error {
	record := tokens.Record{Grant: tokens.Grant{RefreshToken: secret.New("probe")}}
	data, err := record.Encode()
	if err != nil {
		return err
	}
	next := patch{
		Metadata: patchMetadata{ResourceVersion: o.Metadata.ResourceVersion},
		Data:     map[string][]byte{"probe" + keySuffix: data},
	}
	verb, method, path, kind := "patch", http.MethodPatch, s.path(), "application/merge-patch+json"
	if o.Metadata.ResourceVersion == "" {
		verb, method, path, kind = "create", http.MethodPost, s.collection(), "application/json"
		next.Metadata.Name = s.name
	}
	var stored object
	if err := s.client.do(ctx, method, path+"?dryRun=All", kind, next, &stored); err != nil {
		return s.advise(err, verb)
	}
	return nil
}

// ProbeReader proves that a reader can use the Secret with the access tokens, and warns of
// what it may do besides. It does not read the state, and asks only whether it could.
func (s *Secret) ProbeReader(ctx context.Context) (proved string, warnings []string, _ error) {
	a := s.access
	denied, err := a.denied(ctx, "get", "watch", "patch")
	if err != nil {
		return "", nil, fmt.Errorf("probing %v: %w", a, err)
	}
	if slices.Contains(denied, "get") {
		return "", nil, hint.With(fmt.Errorf("this user may not get %v", a), a.readerAdvice(""))
	}
	o, err := a.get(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("probing %v: %w", a, err)
	}
	if o.Metadata.ResourceVersion == "" {
		return "", nil, hint.With(
			fmt.Errorf("%v is not there", a),
			"run a refresher with this TICKETPROXY_STATE; its check says what it needs to write that Secret",
		)
	}
	proved = fmt.Sprintf("%v can be read", a)
	if slices.Contains(denied, "watch") {
		proved += "; this user may not watch it, so a reader follows when its own token is near its end"
	}
	if slices.Contains(denied, "patch") {
		proved += "; this user may not patch it, so a reader cannot tell refreshers of a token that the API refuses"
	}
	for _, verb := range []string{"get", "list", "watch"} {
		may, err := s.may(ctx, verb)
		if err != nil {
			return "", nil, fmt.Errorf("probing %v: %w", s, err)
		}
		if may {
			warnings = append(warnings, fmt.Sprintf("this user may %s %v, which has the refresh tokens: a reader needs only %v",
				verb, s, a))
		}
	}
	return proved, warnings, nil
}

// ProbeCopy says whether this user can write access tokens for readers, and how to allow it.
func (s *Secret) ProbeCopy(ctx context.Context) (string, error) {
	a := s.access
	denied, err := a.denied(ctx, "get", "watch", "patch")
	if err != nil {
		return "", fmt.Errorf("probing %v: %w", a, err)
	}
	if denied != nil {
		return fmt.Sprintf("readers get no access tokens: this user may not %s %v; where there are readers, %s",
			strings.Join(denied, " or "), a, a.advice(denied[0], "")), nil
	}
	o, err := a.get(ctx)
	if err != nil {
		return "", fmt.Errorf("probing %v: %w", a, err)
	}
	if o.Metadata.ResourceVersion != "" {
		return fmt.Sprintf("access tokens for readers are written to %v", a), nil
	}
	if denied, err = a.denied(ctx, "create"); err != nil {
		return "", fmt.Errorf("probing %v: %w", a, err)
	}
	if denied != nil {
		return fmt.Sprintf("readers get no access tokens: %v is not there; where there are readers, %s",
			a, a.advice("create", "")), nil
	}
	return fmt.Sprintf("access tokens for readers will be written to %v, which is not there yet", a), nil
}

// denied returns those of the verbs that this user may not use on the Secret.
func (s *Secret) denied(ctx context.Context, verbs ...string) ([]string, error) {
	var denied []string
	for _, verb := range verbs {
		if ok, err := s.may(ctx, verb); err != nil {
			return nil, err
		} else if !ok {
			denied = append(denied, verb)
		}
	}
	return denied, nil
}
