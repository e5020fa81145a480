package sandbox_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ticketproxy/sandbox"
)

// An app calls one API with a valid token.
type app struct {
	p     *sandbox.Provider
	token string
}

func newApp(t *testing.T, p *sandbox.Provider) app {
	t.Helper()
	return app{p, newAccessToken(t, p)}
}

// call sends JSON when body is not empty.
func (a app) call(method, target, body string, lines ...string) call {
	c := call{method, target, append([]string{bearer(a.token)}, lines...), body}
	if body != "" {
		c = c.with("Content-Type: " + jsonType)
	}
	return c
}

type sbTicket struct {
	ID         int
	Title      string
	Category   *struct{ ID int }
	ReplyCount int
	Status     string
	Author     struct{ Email, Status string }

	CreationTime                  string
	LastThreadElementCreationTime string
}

func sbData[T any](t *testing.T, a app, method, target, body string) T {
	t.Helper()
	w := answerOf(t, a.p, 200, a.call(method, target, body))
	if !strings.HasSuffix(w.Body.String(), `,"errorCode":-1,"errorText":null}`) {
		t.Fatalf("not a success envelope: %s", w.Body)
	}
	return decoded[struct{ Data T }](t, w).Data
}

func TestSocialBoardsBearer(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).SocialBoards
	token := newAccessToken(t, p)
	for name, lines := range map[string][]string{
		"none":    nil,
		"unknown": {bearer("x")},
		"v1":      {"X-Token: " + token, "Community: 1"},
		"two":     {bearer("x"), bearer(token)},
		"basic":   {"Authorization: Basic " + token},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := answerOf(t, p, 401, call{"GET", "/Teammates", lines, ""})
			wantHeader(t, w, "WWW-Authenticate", "Bearer")
			wantBody(t, w, `{"message":"Authorization has been denied for this request."}`)
		})
	}
	answerOf(t, p, 200, call{"GET", "/Teammates", []string{"Authorization: bearer " + token}, ""})
}

func TestSocialBoardsTickets(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).SocialBoards)
	id := sbData[int](t, a, "POST", "/tickets", `{"title":"Interval drinks","message":"May we order ahead?","sentiment":"question","categoryId":23445,
		"creator":{"name":"Gus","email":"gus@guests.example"},"tags":["bar"],"attachments":[{"url":"https://files.example/a.png","name":"a.png"}],"customFields":[{"id":1,"value":"x"}]}`)
	path := fmt.Sprintf("/tickets/%d", id)
	made := sbData[sbTicket](t, a, "GET", path, "")
	if made.Title != "Interval drinks" || made.Category.ID != 23445 || made.Author.Email != "gus@guests.example" || made.Author.Status != "client" || made.Status != "open" {
		t.Errorf("got %+v", made)
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}[+-]\d\d:\d\d$`).MatchString(made.CreationTime) {
		t.Errorf("creationTime: %q", made.CreationTime)
	}
	reply := sbData[struct {
		TicketID   int
		Message    string
		Author     struct{ Status string }
		Properties struct{ IsByTeam, IsDraft bool }
	}](t, a, "POST", path+"/replies", `{"message":"You may.","author":{"email":"ada@theatre.example"},"isTicketNeededToBeCompleted":true}`)
	if reply.TicketID != id || reply.Message != "You may." || reply.Author.Status != "team" || !reply.Properties.IsByTeam {
		t.Errorf("got %+v", reply)
	}
	if after := sbData[sbTicket](t, a, "GET", path, ""); after.ReplyCount != 1 || after.Status != "completed" {
		t.Errorf("got %+v", after)
	}
}

func TestSocialBoardsLists(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).SocialBoards)
	for range 60 {
		sbData[int](t, a, "POST", "/tickets", `{"title":"One of many","message":"?"}`)
	}
	for body, want := range map[string]int{
		``:                                25,
		`{}`:                              25,
		`{"take":10}`:                     10,
		`{"take":100}`:                    50,
		`{"skip":60}`:                     3,
		`{"skip":99}`:                     0,
		`{"categoryId":23445}`:            1,
		`{"status":"completed"}`:          0,
		`{"source":"web","take":2}`:       2,
		`{"ticketIds":[1001,1003]}`:       2,
		`{"from":"2200-01-01T00:00:00Z"}`: 0,
		`{"to":"2000-01-01T00:00:00Z"}`:   0,
	} {
		if got := sbData[[]sbTicket](t, a, "POST", "/tickets/list", body); len(got) != want {
			t.Errorf("%s: %d tickets, want %d", body, len(got), want)
		}
	}
	sbData[any](t, a, "POST", "/tickets/1001/replies", `{"message":"Here."}`)
	if got := sbData[[]sbTicket](t, a, "POST", "/tickets/list", `{"orderBy":"last_thread_activity_desc","take":1}`); len(got) != 1 || got[0].ID != 1001 {
		t.Errorf("got %+v", got)
	}
	if got := sbData[[]struct{ Name, Email, Role string }](t, a, "GET", "/Teammates", ""); len(got) != 3 || got[0].Role != "admin" {
		t.Errorf("got %+v", got)
	}
	if got := sbData[[]any](t, a, "GET", "/Teammates?group=stage-door", ""); len(got) != 1 {
		t.Errorf("got %+v", got)
	}
	if got := sbData[[]any](t, a, "GET", "/categories", ""); len(got) != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestSocialBoardsCategory(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{`{"id":23446}`: 23446, "null": 0, "{}": 0, "": 0, `{"id":null}`: 0} {
		t.Run("body "+body, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, sandbox.New(sandbox.Options{}).SocialBoards)
			wantBody(t, answerOf(t, a.p, 200, a.call("PATCH", "/tickets/1001/category", body)), `{"data":{},"errorCode":-1,"errorText":null}`)
			got := 0
			if c := sbData[sbTicket](t, a, "GET", "/tickets/1001", "").Category; c != nil {
				got = c.ID
			}
			if got != want {
				t.Errorf("category: got %d, want %d", got, want)
			}
		})
	}
}

func TestSocialBoardsAPIRefuses(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).SocialBoards)
	asForm := call{"POST", "/tickets", []string{bearer(a.token), "Content-Type: " + formType}, "title=x&message=y"}
	for name, x := range map[string]struct {
		call   call
		status int
	}{
		"lower-case path":                   {a.call("GET", "/teammates", ""), 404},
		"trailing slash":                    {a.call("GET", "/categories/", ""), 404},
		"double slash":                      {a.call("GET", "//categories", ""), 404},
		"unknown ticket":                    {a.call("GET", "/tickets/1", ""), 404},
		"no ticket id":                      {a.call("GET", "/tickets/", ""), 404},
		"wrong method":                      {a.call("DELETE", "/tickets/list", ""), 405},
		"form":                              {asForm, 415},
		"broken json":                       {a.call("POST", "/tickets", "{"), 400},
		"no message":                        {a.call("POST", "/tickets", `{"title":"x"}`), 400},
		"unknown category":                  {a.call("PATCH", "/tickets/1001/category", `{"id":1}`), 404},
		"broken category":                   {a.call("PATCH", "/tickets/1001/category", `{"id":`), 400},
		"category of an unknown ticket":     {a.call("PATCH", "/tickets/1/category", `{}`), 404},
		"empty reply":                       {a.call("POST", "/tickets/1001/replies", `{}`), 400},
		"broken list":                       {a.call("POST", "/tickets/list", "["), 400},
		"broken reply":                      {a.call("POST", "/tickets/1001/replies", "["), 400},
		"negative skip":                     {a.call("POST", "/tickets/list", `{"skip":-1}`), 400},
		"creation with an unknown category": {a.call("POST", "/tickets", `{"title":"x","message":"y","categoryId":1}`), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := answerOf(t, a.p, x.status, x.call)
			if e := decoded[struct{ ErrorCode int }](t, w); e.ErrorCode != x.status {
				t.Errorf("got %s", w.Body)
			}
		})
	}
	if c := sbData[sbTicket](t, a, "GET", "/tickets/1001", "").Category; c == nil {
		t.Error("a refused request removed the category")
	}
}
