package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A callersFixture is an instance of the program that knows its callers, in front of a test's
// own API. Its upstream and its account is ticketpark, and the API is the upstream own.
type callersFixture struct {
	*apiFixture
	t    *testing.T
	dir  string            // of CALLERS_FILE and the audit log
	keys map[string]string // by the caller's name

	mu     sync.Mutex
	passed map[string]int // requests that came to the API, by path
}

// newCallersFixture returns an instance that is not started. In the text of CALLERS_FILE,
// KEY(name) is the digest of a key of that name.
func newCallersFixture(t *testing.T, text string, more ...string) *callersFixture {
	t.Helper()
	f := &callersFixture{t: t, dir: t.TempDir(), keys: map[string]string{}, passed: map[string]int{}}
	api := serveAPI(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		f.mu.Lock()
		f.passed[r.URL.Path]++
		f.mu.Unlock()
		io.WriteString(w, `{"small":true}`)
	}))
	f.write(text)
	f.apiFixture = newAPIFixture(t, api, time.Hour)
	f.extraEnv = append(f.extraEnv, "TICKETPROXY_CALLERS_FILE="+f.file(), "TICKETPROXY_AUDIT_LOG=file:"+f.audit())
	f.extraEnv = append(f.extraEnv, more...)
	return f
}

func (f *callersFixture) file() string  { return filepath.Join(f.dir, "callers.yaml") }
func (f *callersFixture) audit() string { return filepath.Join(f.dir, "audit.jsonl") }

// write replaces CALLERS_FILE, as an editor or Kubernetes does.
func (f *callersFixture) write(text string) {
	f.t.Helper()
	for {
		before, rest, found := strings.Cut(text, "KEY(")
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, ")")
		text = before + f.digest(name) + after
	}
	next := f.file() + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(next, f.file()); err != nil {
		f.t.Fatal(err)
	}
}

// digest returns the digest of a caller's key, as ticketproxy key tells it.
func (f *callersFixture) digest(name string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	digest, err := os.ReadFile(path)
	if err == nil {
		return string(digest)
	}
	var key, advice bytes.Buffer
	cmd := exec.CommandContext(f.t.Context(), binary, "key", name)
	cmd.Stdout, cmd.Stderr = &key, &advice
	if err := cmd.Run(); err != nil {
		f.t.Fatalf("ticketproxy key: %v\n%s", err, advice.String())
	}
	_, rest, _ := strings.Cut(advice.String(), `keys: [`)
	text, _, _ := strings.Cut(rest, "]")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.keys[name] = strings.TrimSpace(key.String())
	return text
}

// A caller sends requests with a proof, and counts the answers.
type caller struct {
	name   string // in CALLERS_FILE; "" for a stranger
	client *http.Client
	origin string
	proof  string // Authorization; "" for none

	mu      sync.Mutex
	answers map[string]int // by what of returns
}

func newCaller(name, origin, proof string) *caller {
	return &caller{
		name:    name,
		client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 300}, Timeout: time.Minute},
		origin:  origin,
		proof:   proof,
		answers: map[string]int{},
	}
}

// send sends a request, and returns its answer.
func (c *caller) send(method, path string, header ...string) (answer, error) {
	req, err := http.NewRequest(method, c.origin+path, nil)
	if err != nil {
		return answer{}, err
	}
	if c.proof != "" {
		req.Header.Set("Authorization", c.proof)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a := answer{res.StatusCode, res.Header.Get("Ticketproxy-Error"), string(body)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[summary(c.name, a.status, a.code)]++
	return a, err
}

// count returns how many answers had a status.
func (c *caller) count(status int, code string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[summary(c.name, status, code)]
}

// summary is a request in a few words. A stranger has no name in the audit log.
func summary(name string, status int, code string) string {
	return strings.Join([]string{name, http.StatusText(status), code}, "|")
}

// auditSummaries counts the lines of all files of the audit log, and how often each path is in
// them.
func (f *callersFixture) auditSummaries() (summaries, paths map[string]int) {
	f.t.Helper()
	summaries, paths = map[string]int{}, map[string]int{}
	files, err := filepath.Glob(f.audit() + "*")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.t.Fatal(err)
		}
		for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
			var line struct {
				Name   string `json:"user.name"`
				Status int    `json:"http.response.status_code"`
				Code   string `json:"error.code"`
				Path   string `json:"url.path"`
			}
			if err := d.Decode(&line); err != nil {
				f.t.Fatalf("%s: %v", file, err)
			}
			summaries[summary(line.Name, line.Status, line.Code)]++
			paths[line.Path]++
		}
	}
	return summaries, paths
}

// adminText returns what the admin listener answers.
func (f *callersFixture) adminText(path string) string {
	f.t.Helper()
	res, err := control.Get("http://" + f.admin + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// during has functions called again and again at the same time, until the time is over.
func during(d time.Duration, pace time.Duration, all ...func(i int)) {
	var running sync.WaitGroup
	end := time.Now().Add(d)
	for _, one := range slices.All(all) {
		running.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				one(i)
				time.Sleep(pace)
			}
		})
	}
	running.Wait()
}
