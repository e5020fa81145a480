package kubernetes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/presence"
)

// keySuffix ends the key of an account's record in the Secret's data.
const keySuffix = ".json"

// A Secret keeps the records of all accounts in one Secret. Safe for concurrent use.
type Secret struct {
	client    *client
	namespace string
	name      string
	presence  *presence.Process

	mu     sync.Mutex
	last   object // as it was last seen; it may be older than what the server has
	events int    // that the watch has noted
	heard  string // the resourceVersion of the last of them

	watch watch

	access *Secret // has the access tokens of the state's accounts; nil for that one itself
	copier copier  // writes them
}

// An object is what is read of a Secret of the API (core/v1).
type object struct {
	Metadata  metadata          `json:"metadata"`
	Data      map[string][]byte `json:"data"`
	Immutable bool              `json:"immutable,omitempty"`
}

type metadata struct {
	Name            string            `json:"name,omitempty"`
	UID             string            `json:"uid,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

// A patch is what is written of a Secret: a merge patch (RFC 7396), or a new Secret.
type patch struct {
	Metadata patchMetadata     `json:"metadata"`
	Data     map[string][]byte `json:"data"`
}

type patchMetadata struct {
	Name            string             `json:"name,omitempty"`
	UID             string             `json:"uid,omitempty"`
	ResourceVersion string             `json:"resourceVersion,omitempty"`
	Annotations     map[string]*string `json:"annotations,omitempty"` // nil removes one
	Labels          map[string]string  `json:"labels,omitempty"`
}

// Open returns the state in the Secret that is named NAMESPACE/NAME, or NAME in the
// namespace of the pod or of the kubeconfig's context. The Secret need not exist. Open does
// not ask the API server. getenv looks up the environment. The error may have a hint.
func Open(place string, getenv func(string) string) (*Secret, error) {
	c, err := newClient(getenv)
	if err != nil {
		return nil, err
	}
	namespace, name, ok := strings.Cut(place, "/")
	if !ok {
		namespace, name = c.namespace, place
	}
	return newSecret(c, namespace, name), nil
}

func newSecret(c *client, namespace, name string) *Secret {
	s := &Secret{client: c, namespace: namespace, name: name, presence: presence.New()}
	s.access = &Secret{client: c, namespace: namespace, name: name + accessSuffix}
	s.watch.secret, s.access.watch.secret = s, s.access
	s.copier.begin(s, s.access)
	return s
}

// Holder returns the unique id of this process in the records. In a pod it begins with the
// pod's namespace, name and uid, so that people see which pod it is.
func (s *Secret) Holder() string { return s.client.pod + s.presence.Holder() }

// Close ends the watches and this process's presence. Access tokens that are being written
// get 3 s.
func (s *Secret) Close() error {
	s.watch.close()
	s.access.watch.close()
	s.copier.close()
	named := false
	for _, data := range s.known().Data {
		named = named || bytes.Contains(data, []byte(s.presence.Holder()))
	}
	if err := s.presence.Close(named); err != nil {
		return fmt.Errorf("closing state: %w", err)
	}
	return nil
}

// ReportCopies has report called as tokens.CopyReport does it.
func (s *Secret) ReportCopies(report func(err error, exists bool)) { s.copier.report.To(report) }

// Account returns the store of one account's record.
func (s *Secret) Account(name string) *Account { return &Account{s, name} }

// Accounts returns the names of the accounts that have a record, in alphabetical order.
func (s *Secret) Accounts(ctx context.Context) ([]string, error) {
	o, err := s.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing state: %w", err)
	}
	var names []string
	for _, key := range slices.Sorted(maps.Keys(o.Data)) {
		if name, ok := strings.CutSuffix(key, keySuffix); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// exists reports whether the Secret is there. What was last seen of it may be older than that.
func (s *Secret) exists(ctx context.Context) bool {
	o, err := s.get(ctx)
	return err == nil && o.Metadata.ResourceVersion != ""
}

// versionOf returns the version of a key's record; "" without one.
func (o object) versionOf(key string) tokens.Version {
	data, ok := o.Data[key]
	if !ok {
		return ""
	}
	return versionOf(data)
}

func versionOf(data []byte) tokens.Version {
	sum := sha256.Sum256(data)
	return tokens.Version(hex.EncodeToString(sum[:]))
}

// String names the Secret as kubectl does.
func (s *Secret) String() string { return "secret " + s.namespace + "/" + s.name }

func (s *Secret) collection() string {
	return "/api/v1/namespaces/" + url.PathEscape(s.namespace) + "/secrets"
}

func (s *Secret) path() string { return s.collection() + "/" + url.PathEscape(s.name) }

// get reads the Secret. One that does not exist is an empty object.
func (s *Secret) get(ctx context.Context) (object, error) {
	note := s.asking()
	var o object
	err := s.client.do(ctx, http.MethodGet, s.path(), "", nil, &o)
	if isStatus(err, http.StatusNotFound) {
		o, err = object{}, nil
	}
	if err != nil {
		status, answered := errors.AsType[*statusError](err)
		if !answered || status.code >= 500 || status.code == http.StatusTooManyRequests {
			err = fmt.Errorf("%w: %w", tokens.ErrUnavailable, err)
			if hint.Of(err) == "" {
				err = hint.With(err, "see that the API server can be reached; until then no token is refreshed")
			}
			return object{}, err
		}
		return object{}, s.advise(err, "get")
	}
	note(o)
	return o, nil
}

// write stores a key's value and annotations, if the Secret still is o. An annotation that is
// nil is removed. The error is tokens.ErrUnknown when the server may have stored them.
func (s *Secret) write(ctx context.Context, o object, key string, value []byte, annotations map[string]*string) error {
	next := patch{
		Metadata: patchMetadata{
			ResourceVersion: o.Metadata.ResourceVersion,
			UID:             o.Metadata.UID,
			Annotations:     annotations,
		},
		Data: map[string][]byte{key: value},
	}
	note := s.asking()
	var stored object
	var err error
	verb := "patch"
	if o.Metadata.ResourceVersion == "" {
		verb = "create"
		next.Metadata.Name = s.name
		next.Metadata.Labels = map[string]string{"app.kubernetes.io/managed-by": "ticketproxy"}
		maps.DeleteFunc(next.Metadata.Annotations, func(_ string, value *string) bool { return value == nil })
		err = s.client.do(ctx, http.MethodPost, s.collection(), "application/json", next, &stored)
	} else {
		err = s.client.do(ctx, http.MethodPatch, s.path(), "application/merge-patch+json", next, &stored)
	}
	status, answered := errors.AsType[*statusError](err)
	switch {
	case err == nil:
		note(stored)
		s.watch.seen(key, versionOf(value))
		return nil
	case answered && status.code < 500:
		return s.advise(err, verb)
	case errors.Is(err, errNotSent):
		return err
	}
	s.forget()
	return fmt.Errorf("%w: %w", tokens.ErrUnknown, err)
}

// known returns the Secret as it was last seen.
func (s *Secret) known() object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return object{Metadata: s.last.Metadata, Data: maps.Clone(s.last.Data)}
}

// noteEvent notes the Secret in an event of the watch, with the event's resourceVersion.
func (s *Secret) noteEvent(o object, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.heard = o, version
	s.events++
}

// asking returns what notes the Secret in the answer to a request that begins now. If an
// event was noted meanwhile that is later than the answer, the answer is left out.
func (s *Secret) asking() (note func(object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.events
	return func(o object) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.events == before || !isLater(s.heard, o.Metadata.ResourceVersion) {
			s.last = o
		}
	}
}

// isLater reports whether the resourceVersion of an event is later than that of an answer,
// which is "" when there was no Secret. Those of one resource can be compared as numbers
// (kubernetes.io, "Resource versions"). If these are none, the answer counts.
func isLater(event, answer string) bool {
	if answer == "" {
		return true
	}
	e, err := strconv.ParseUint(event, 10, 64)
	if err != nil {
		return false
	}
	a, err := strconv.ParseUint(answer, 10, 64)
	return err == nil && e > a
}

// forget has the Secret read before it is written to.
func (s *Secret) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = object{}
}
