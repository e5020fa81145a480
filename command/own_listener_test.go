package command

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

// An app that does its own OAuth, with credentials of the vendor, works at a listener of its own.
func TestOAuthAtAnOwnListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at = "http://127.0.0.1:8083"
		file := writeFile(t, "callers.yaml", "callers: {old: {listen: 127.0.0.1:8083, may: [{upstream: ticketpark}]}}")
		f := newFixture(t, sandbox.Options{}, "TICKETPROXY_CALLERS_FILE="+file)
		f.serve()
		form := "grant_type=refresh_token&client_id=x&client_secret=y&refresh_token=z"
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, at+"/oauth/v2/token", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, body, err := f.send(req)
		var grant struct {
			AccessToken string `json:"access_token"`
		}
		if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal([]byte(body), &grant) != nil || grant.AccessToken == "" {
			t.Fatalf("the token request: %v, %s", err, body)
		}
		if req, err = samples()["ticketpark"].request(context.Background(), at); err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+grant.AccessToken)
		if res, body, err = f.send(req); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("the API's request: %v, %s", err, body)
		}
	})
}
