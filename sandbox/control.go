package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	controlPath    = "/_sandbox/"
	redirectedPath = controlPath + "redirected"
)

func isControl(path string) bool { return strings.HasPrefix(path, controlPath) }

// wireFaults is [Faults] in JSON, where a duration is a string such as "2s".
type wireFaults struct {
	SlowBeforeCommit string `json:"slow_before_commit"`
	SlowAfterCommit  string `json:"slow_after_commit"`
	Faults
}

// A state is the answer to GET /_sandbox/. It holds no token and no secret.
type state struct {
	Provider      string     `json:"provider"`
	ClientID      string     `json:"client_id"`
	TokenPath     string     `json:"token_path"`
	AuthorizePath string     `json:"authorize_path,omitempty"`
	Rotates       bool       `json:"rotates"`
	LivingAccess  int        `json:"living_access_tokens"`
	LivingRefresh int        `json:"living_refresh_tokens"`
	Faults        wireFaults `json:"faults"`
	Counters      Counters   `json:"counters"`
}

func (p *Provider) serveControl(w http.ResponseWriter, r *http.Request) {
	if crossSite(r) {
		controlError(http.StatusForbidden, errors.New("a web page may not use the control paths")).write(w, r)
		return
	}
	req, ok := readRequest(w, r)
	if !ok {
		return
	}
	p.control(req).with("Cache-Control", "no-store").write(w, r)
}

// crossSite reports whether a web page may have sent the request. No page of the
// sandbox calls these paths, so every request with an Origin is cross-site.
func crossSite(r *http.Request) bool {
	if len(r.Header.Values("Origin")) > 0 {
		return true
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "none" && site != "same-origin" {
			return true
		}
	}
	return false
}

func (p *Provider) control(req request) answer {
	if req.URL.Path == redirectedPath {
		return p.controlRedirected(req)
	}
	found, allow := match([]route{
		{method: "GET", pattern: controlPath, serve: p.controlState},
		{method: "POST", pattern: controlPath + "faults", serve: p.controlFaults},
		{method: "POST", pattern: controlPath + "revoke", serve: p.controlRevoke},
		{method: "POST", pattern: controlPath + "seed", serve: p.controlSeed},
	}, req)
	switch {
	case found != nil:
		return found.serve(req)
	case allow != "":
		return controlError(http.StatusMethodNotAllowed, fmt.Errorf("the method here is %s", allow)).with("Allow", allow)
	default:
		return controlError(
			http.StatusNotFound,
			errors.New("the control paths are GET /_sandbox/ and POST /_sandbox/faults, revoke and seed"),
		)
	}
}

func (p *Provider) controlState(request) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	access, refresh := p.tokens.countUsable(time.Now())
	return jsonAnswer(http.StatusOK, state{
		Provider: p.Name, ClientID: p.ClientID,
		TokenPath: p.TokenPath, AuthorizePath: p.AuthorizePath,
		Rotates:      p.tokens.rotates,
		LivingAccess: access, LivingRefresh: refresh,
		Faults:   p.faults.wire(),
		Counters: p.counters,
	})
}

// controlFaults replaces all faults. A fault that is not named is switched off.
func (p *Provider) controlFaults(req request) answer {
	var wire wireFaults
	if err := decodeStrictly(req.body, &wire); err != nil {
		return controlError(http.StatusBadRequest, fmt.Errorf("reading faults: %w", err))
	}
	f, err := wire.faults()
	if err != nil {
		return controlError(http.StatusBadRequest, fmt.Errorf("reading faults: %w", err))
	}
	p.SetFaults(f)
	return jsonAnswer(http.StatusOK, f.wire())
}

func (p *Provider) controlRevoke(req request) answer {
	var body struct {
		What string `json:"what"`
	}
	if err := decodeStrictly(req.body, &body); err != nil {
		return controlError(http.StatusBadRequest, fmt.Errorf("reading revocation: %w", err))
	}
	switch body.What {
	case "access":
		p.RevokeAccess()
	case "all":
		p.RevokeAll()
	default:
		return controlError(
			http.StatusBadRequest,
			fmt.Errorf(`reading revocation: "what" is %q, not "access" or "all"`, body.What),
		)
	}
	return jsonAnswer(http.StatusOK, map[string]string{"revoked": body.What})
}

func (p *Provider) controlSeed(req request) answer {
	if len(bytes.TrimSpace(req.body)) > 0 {
		if err := decodeStrictly(req.body, &struct{}{}); err != nil {
			return controlError(http.StatusBadRequest, fmt.Errorf("reading seed request: %w", err))
		}
	}
	return jsonAnswer(http.StatusOK, map[string]string{"refresh_token": p.Seed()})
}

func (p *Provider) controlRedirected(request) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters.RedirectsFollowed++
	return controlError(http.StatusGone, errors.New("a client must not follow a redirect of a token request"))
}

func controlError(status int, err error) answer {
	return jsonAnswer(status, map[string]string{"error": err.Error()})
}

// decodeStrictly decodes one value. It refuses unknown fields and any further data.
func decodeStrictly(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the body is empty, not a JSON object")
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is data after the JSON object")
	}
	return nil
}

func (f Faults) wire() wireFaults {
	return wireFaults{f.SlowBeforeCommit.String(), f.SlowAfterCommit.String(), f}
}

func (w wireFaults) faults() (Faults, error) {
	f := w.Faults
	for _, count := range []struct {
		name  string
		value int
		least int
	}{
		{"retry_after", f.RetryAfter, 0},
		{"drop_before_read", f.DropBeforeRead, UntilOff},
		{"throttle", f.Throttle, UntilOff},
		{"unavailable", f.Unavailable, UntilOff},
		{"redirect", f.Redirect, UntilOff},
		{"html", f.HTML, UntilOff},
		{"drop_after_commit", f.DropAfterCommit, UntilOff},
		{"half_body", f.HalfBody, UntilOff},
		{"api_unauthorized", f.APIUnauthorized, UntilOff},
	} {
		if count.value < count.least {
			return Faults{}, fmt.Errorf("%q is %d, below %d", count.name, count.value, count.least)
		}
	}
	var err error
	if f.SlowBeforeCommit, err = wireDuration("slow_before_commit", w.SlowBeforeCommit); err != nil {
		return Faults{}, err
	}
	if f.SlowAfterCommit, err = wireDuration("slow_after_commit", w.SlowAfterCommit); err != nil {
		return Faults{}, err
	}
	return f, nil
}

func wireDuration(name, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, fmt.Errorf(`%q is %q, not a duration such as "2s"`, name, value)
	}
	return d, nil
}
