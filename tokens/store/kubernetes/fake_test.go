package kubernetes

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeServer is an API server with Secrets of one namespace, as far as a Secret uses it.
type fakeServer struct {
	*httptest.Server

	mu       sync.Mutex
	version  int
	secrets  map[string]object
	events   []fakeEvent
	watchers map[chan struct{}]bool
	requests map[string]int  // by method; WATCH is a watch
	denied   map[string]bool // verbs, or verbs with a name, in access reviews
	// intercept answers a request in place of the server when it returns true.
	intercept func(w http.ResponseWriter, r *http.Request) bool
	// lose cuts the connection after the next writes of the state were stored.
	lose int
}

type fakeEvent struct {
	version int
	kind    string
	object  object
}

func startFake(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{secrets: map[string]object{}, watchers: map[chan struct{}]bool{}, requests: map[string]int{}, denied: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// open returns a handle, as one process has it, on the Secret state.
func (f *fakeServer) open(t *testing.T) *Secret {
	t.Helper()
	server, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := newSecret(&client{
		server: server, namespace: "tickets", transport: newTransport(&tls.Config{}, nil),
		authorize: func(context.Context, *http.Request) error { return nil },
	}, "tickets", "state")
	t.Cleanup(func() { s.Close() })
	return s
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	intercept := f.intercept
	method := r.Method
	if r.FormValue("watch") != "" {
		method = "WATCH"
	}
	f.requests[method]++
	f.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		var review struct {
			Spec struct {
				ResourceAttributes struct {
					Verb string `json:"verb"`
					Name string `json:"name"`
				} `json:"resourceAttributes"`
			} `json:"spec"`
		}
		json.NewDecoder(r.Body).Decode(&review)
		f.mu.Lock()
		asked := review.Spec.ResourceAttributes
		allowed := !f.denied[asked.Verb] && !f.denied[asked.Verb+" "+asked.Name]
		f.mu.Unlock()
		answer(w, http.StatusCreated, map[string]any{"status": map[string]any{"allowed": allowed}})
		return
	}
	const collection = "/api/v1/namespaces/tickets/secrets"
	name, single := strings.CutPrefix(r.URL.Path, collection+"/")
	switch {
	case r.URL.Path != collection && !single:
		fail(w, http.StatusNotFound, "NotFound", "no such path")
	case method == "WATCH":
		f.watch(w, r)
	case method == http.MethodGet:
		f.mu.Lock()
		o, ok := f.secrets[name]
		f.mu.Unlock()
		if !ok {
			fail(w, http.StatusNotFound, "NotFound", "secrets \""+name+"\" not found")
			return
		}
		answer(w, http.StatusOK, o)
	default:
		f.write(w, r, name)
	}
}

func (f *fakeServer) write(w http.ResponseWriter, r *http.Request, name string) {
	var next patch
	if err := json.NewDecoder(r.Body).Decode(&next); err != nil {
		fail(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kind, code := "MODIFIED", http.StatusOK
	if r.Method == http.MethodPost {
		kind, code, name = "ADDED", http.StatusCreated, next.Metadata.Name
	}
	o, ok := f.secrets[name]
	switch {
	case r.Method == http.MethodPost && ok:
		fail(w, http.StatusConflict, "AlreadyExists", "secrets \""+name+"\" already exists")
		return
	case r.Method == http.MethodPatch && !ok:
		fail(w, http.StatusNotFound, "NotFound", "secrets \""+name+"\" not found")
		return
	case r.Method == http.MethodPatch && next.Metadata.ResourceVersion != o.Metadata.ResourceVersion &&
		next.Metadata.ResourceVersion != "":
		fail(w, http.StatusConflict, "Conflict", "the object has been modified")
		return
	}
	if r.FormValue("dryRun") == "" {
		o = f.storeLocked(name, kind, next)
	}
	if f.lose > 0 && name == "state" {
		f.lose--
		panic(http.ErrAbortHandler)
	}
	answer(w, code, o)
}

// storeLocked merges a patch into a Secret, and tells the watchers.
func (f *fakeServer) storeLocked(name, kind string, p patch) object {
	o := f.secrets[name]
	f.version++
	o.Metadata.Name, o.Metadata.ResourceVersion = name, strconv.Itoa(f.version)
	if o.Metadata.UID == "" {
		o.Metadata.UID = fmt.Sprintf("uid-%d", f.version)
	}
	o.Data, o.Metadata.Annotations = maps.Clone(o.Data), maps.Clone(o.Metadata.Annotations)
	if o.Data == nil {
		o.Data = map[string][]byte{}
	}
	if o.Metadata.Annotations == nil {
		o.Metadata.Annotations = map[string]string{}
	}
	maps.Copy(o.Data, p.Data)
	for key, value := range p.Metadata.Annotations {
		delete(o.Metadata.Annotations, key)
		if value != nil {
			o.Metadata.Annotations[key] = *value
		}
	}
	f.secrets[name] = o
	f.tellLocked(kind, o)
	return o
}

func (f *fakeServer) tellLocked(kind string, o object) {
	f.events = append(f.events, fakeEvent{f.version, kind, o})
	for w := range f.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// change lets a foreign writer change the Secret.
func (f *fakeServer) change(change func(map[string][]byte)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := maps.Clone(f.secrets["state"].Data)
	if data == nil {
		data = map[string][]byte{}
	}
	change(data)
	o := f.secrets["state"]
	o.Data = data
	f.secrets["state"] = o
	f.storeLocked("state", "MODIFIED", patch{})
}

// remove deletes the Secret.
func (f *fakeServer) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.secrets["state"]
	delete(f.secrets, "state")
	f.version++
	o.Metadata.ResourceVersion = strconv.Itoa(f.version)
	f.tellLocked("DELETED", o)
}

func (f *fakeServer) watch(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.Atoi(r.FormValue("resourceVersion"))
	name := strings.TrimPrefix(r.FormValue("fieldSelector"), "metadata.name=")
	wake := make(chan struct{}, 1)
	f.mu.Lock()
	f.watchers[wake] = true
	now, exists := f.secrets[name]
	if err != nil {
		from = f.version
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, wake)
		f.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if err != nil && exists {
		json.NewEncoder(w).Encode(map[string]any{"type": "ADDED", "object": now})
	}
	for {
		f.mu.Lock()
		events := f.events
		f.mu.Unlock()
		for _, e := range events {
			if e.version > from && e.object.Metadata.Name == name {
				json.NewEncoder(w).Encode(map[string]any{"type": e.kind, "object": e.object})
				from = e.version
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fakeServer) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[method]
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, code int, reason, message string) {
	answer(w, code, map[string]any{"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}
