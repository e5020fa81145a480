package config

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// TestReread tests that each file is taken up on its own, and that one which cannot be used stays as
// it was.
func TestReread(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"/callers": "callers: {shop: {uid: 1}}", "/id-secret": "secret-1", "/seed": "seed-1", "/params": "audience=1",
	}
	disk := map[string]string{}
	for path, content := range good {
		disk[path] = content
	}
	files, err := Open(Environment{
		Vars: []string{
			"TICKETPROXY_PROVIDER=ticketpark", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_STATE=file:/state",
			"TICKETPROXY_CLIENT_SECRET_FILE=/id-secret", "TICKETPROXY_REFRESH_TOKEN_FILE=/seed",
			"TICKETPROXY_TOKEN_PARAMS_FILE=/params", "TICKETPROXY_CALLERS_FILE=/callers",
		},
		ReadFile: func(path string) ([]byte, error) {
			content, ok := disk[path]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(content), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		path, content string // no content is no file
		secrets       string // in use afterwards: of the client, the seed, the parameters
		mistakes      string // the variables of all mistakes
	}{
		{"", "", "secret-1 seed-1 audience=1", "[]"},
		{"/id-secret", "secret-2", "secret-2 seed-1 audience=1", "[]"},
		{"/seed", "two\nlines", "secret-2 seed-1 audience=1", "[TICKETPROXY_REFRESH_TOKEN_FILE]"},
		{"/id-secret", "secret-3", "secret-3 seed-1 audience=1", "[TICKETPROXY_REFRESH_TOKEN_FILE]"},
		{"/params", "", "secret-3 seed-1 audience=1", "[TICKETPROXY_TOKEN_PARAMS_FILE TICKETPROXY_REFRESH_TOKEN_FILE]"},
		{"/callers", "broken", "secret-3 seed-1 audience=1", "[TICKETPROXY_TOKEN_PARAMS_FILE TICKETPROXY_REFRESH_TOKEN_FILE]"},
		{"/seed", "seed-2", "secret-3 seed-2 audience=1", "[TICKETPROXY_TOKEN_PARAMS_FILE]"},
		{"/params", "audience=2", "secret-3 seed-2 audience=2", "[]"},
		{"/seed", "seed-1", "secret-3 seed-1 audience=2", "[]"},
	} {
		disk[step.path] = step.content
		if step.content == "" {
			delete(disk, step.path)
		}
		c, mistakes := files.Reread()
		u := c.Upstreams[0]
		secrets := u.ClientSecret.Reveal() + " " + u.RefreshToken.Reveal() + " " + u.TokenParams.Reveal()
		blamed := []string{}
		for _, m := range mistakes {
			blamed = append(blamed, m.Variable)
		}
		if secrets != step.secrets || fmt.Sprint(blamed) != step.mistakes {
			t.Errorf("%s with %q: %s, %v", step.path, step.content, secrets, mistakes)
		}
	}
}

func TestOpenReportsMistakes(t *testing.T) {
	t.Parallel()
	_, err := Open(Environment{Vars: []string{"TICKETPROXY_PROVIDER=none"}})
	if !errors.As(err, new(*Error)) {
		t.Errorf("error %v", err)
	}
}
