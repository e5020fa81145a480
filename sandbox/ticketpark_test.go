package sandbox_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

type tpEvent struct {
	PID, Host, Name, Currency string
	Shows                     []struct{ PID, Date string }
}

func TestTicketparkBearer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sandbox.New(sandbox.Options{}).Ticketpark
		expired := newAccessToken(t, p)
		time.Sleep(10 * time.Minute)
		token := newAccessToken(t, p)
		form := []string{"Content-Type: " + formType}
		for name, x := range map[string]struct {
			call              call
			status            int
			code, description string
		}{
			"none":             {call{"GET", "/events/", nil, ""}, 401, "access_denied", "OAuth2 authentication required"},
			"basic":            {call{"GET", "/events/", []string{basic("x", "y")}, ""}, 401, "access_denied", "OAuth2 authentication required"},
			"unknown":          {call{"GET", "/events/", []string{bearer("x")}, ""}, 401, "invalid_grant", "The access token provided is invalid."},
			"two headers":      {call{"GET", "/events/", []string{bearer("x"), bearer(token)}, ""}, 401, "invalid_grant", "The access token provided is invalid."},
			"expired":          {call{"GET", "/events/", []string{bearer(expired)}, ""}, 401, "invalid_grant", "The access token provided has expired."},
			"header and query": {call{"GET", "/events/?access_token=" + token, []string{bearer(token)}, ""}, 400, "invalid_request", "Only one method may be used to authenticate at a time (Auth header, GET or POST)."},
			"header and form":  {call{"POST", "/events/", append(form, bearer(token)), "access_token=" + token}, 400, "invalid_request", "Only one method may be used to authenticate at a time (Auth header, GET or POST)."},
		} {
			w := answerOf(t, p, x.status, x.call)
			if got := w.Body.String(); got != `{"error":"`+x.code+`","error_description":"`+x.description+`"}` {
				t.Errorf("%s: got %s", name, got)
			}
			wantHeader(t, w, "WWW-Authenticate", `Bearer realm="Service", error="`+x.code+`", error_description="`+x.description+`"`)
		}
		answerOf(t, p, 200, call{"GET", "/events/?access_token=" + token, nil, ""})
		answerOf(t, p, 409, call{"POST", "/events/", form, "access_token=" + token})
		answerOf(t, p, 404, call{"PATCH", "/events/x", form, "access_token=" + token})
	})
}

func tpGet[T any](t *testing.T, a app, target string) T {
	t.Helper()
	return decoded[T](t, answerOf(t, a.p, 200, a.call("GET", target, "")))
}

func TestTicketparkEventPages(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).Ticketpark)
	for query, want := range map[string]int{"": 3, "?page=0&maxResults=2": 2, "?page=1&maxResults=2": 1, "?page=2&maxResults=2": 0, "?maxResults=1": 1, "?page=2147483647&maxResults=2147483647": 0} {
		w := answerOf(t, a.p, 200, a.call("GET", "/events/"+query, ""))
		wantHeader(t, w, "X-Count", "3")
		if got := decoded[[]tpEvent](t, w); len(got) != want {
			t.Errorf("%q: %d events, want %d", query, len(got), want)
		}
	}
	head := answerOf(t, a.p, 200, a.call("HEAD", "/events/", ""))
	wantHeader(t, head, "X-Count", "3")
	wantBody(t, head, "")
	answerOf(t, a.p, 409, a.call("GET", "/events/?page=-1", ""))
	answerOf(t, a.p, 409, a.call("GET", "/events/?maxResults=x", ""))
	answerOf(t, a.p, 404, a.call("GET", "/events", ""))
	answerOf(t, a.p, 404, a.call("POST", "/events", "{}"))
	answerOf(t, a.p, 404, a.call("GET", "//events/", ""))
	answerOf(t, a.p, 405, a.call("PUT", "/events/", "{}"))
	answerOf(t, a.p, 405, a.call("DELETE", "/events/", "")) // an empty pid names no event
}

func TestTicketparkChildrenOnRequestOnly(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).Ticketpark)
	pid := tpGet[[]tpEvent](t, a, "/events/")[0].PID
	for query, want := range map[string]int{"": 0, "?properties[shows]=1": 2, "?properties%5Bshows%5D=1": 2, "?properties[shows]=0": 0} {
		if got := tpGet[tpEvent](t, a, "/events/"+pid+query); len(got.Shows) != want || got.Name != "My Fair Lady" {
			t.Errorf("%q: got %+v", query, got)
		}
	}
	if date := tpGet[tpEvent](t, a, "/events/"+pid+"?properties[shows]=1").Shows[0].Date; date != "2026-10-02T19:30:00+0200" {
		t.Errorf("date: got %s", date)
	}
}

// location requires an answer without a body and returns the path in its Location.
func location(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	wantBody(t, w, "")
	path, ok := strings.CutPrefix(w.Header().Get("Location"), "http://park.test:8083")
	if !ok {
		t.Fatalf("Location: %q", w.Header().Get("Location"))
	}
	return path
}

func TestTicketparkEventLifecycle(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).Ticketpark)
	first := tpGet[[]tpEvent](t, a, "/events/?properties[shows]=1")[0]
	body := `{"host":"` + first.Host + `","name":"Hedda","currency":"CHF","allow_digital_dispatch":true}`
	path := location(t, answerOf(t, a.p, 201, a.call("POST", "http://park.test:8083/events/", body)))
	if got := tpGet[tpEvent](t, a, path); path != "/events/"+got.PID || got.Name != "Hedda" {
		t.Errorf("%s: got %+v", path, got)
	}
	wantBody(t, answerOf(t, a.p, 204, a.call("PATCH", path, `{"name":"Hedda Gabler","pid":"x"}`)), "")
	if got := tpGet[tpEvent](t, a, path); got.Name != "Hedda Gabler" || got.Currency != "CHF" {
		t.Errorf("got %+v", got)
	}
	answerOf(t, a.p, 204, a.call("DELETE", path, ""))
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		answerOf(t, a.p, 404, a.call(method, path, ""))
	}
	answerOf(t, a.p, 204, a.call("DELETE", "/events/"+first.PID, ""))
	answerOf(t, a.p, 404, a.call("GET", "/shows/"+first.Shows[0].PID, "")) // cascades

	asForm := call{"POST", "/events/", []string{bearer(a.token), "Content-Type: " + formType}, body}
	answerOf(t, a.p, 409, asForm)
	answerOf(t, a.p, 409, a.call("POST", "/events/", "{"))
	answerOf(t, a.p, 409, a.call("POST", "/events/", `{"name":"x","host":"y"}`))
	other := "/events/" + tpGet[[]tpEvent](t, a, "/events/")[0].PID
	answerOf(t, a.p, 409, a.call("PATCH", other, `{"name":""}`))
	answerOf(t, a.p, 409, a.call("PATCH", other, ""))
}

func TestTicketparkUsesTheRequestsScheme(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).Ticketpark)
	w := answerOf(t, a.p, 201, a.call("POST", "https://park.test/bookings/", "{}"))
	if got := w.Header().Get("Location"); !strings.HasPrefix(got, "https://park.test/bookings/") {
		t.Errorf("Location: %q", got)
	}
}

type tpSeats struct{ Total, Sold, Available int }

func TestTicketparkBooking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sandbox.New(sandbox.Options{AccessLifetime: 24 * time.Hour}).Ticketpark
		a := newApp(t, p)
		show := tpGet[[]tpEvent](t, a, "/events/?properties[shows]=1")[0].Shows[0].PID
		sold := func() int {
			c := tpGet[struct {
				Capacity struct{ Total, Public tpSeats }
			}](t, a, "/shows/"+show+"?properties[capacity]=1").Capacity
			if c.Total != (tpSeats{120, c.Total.Sold, 120 - c.Total.Sold}) || c.Public.Available != 100-c.Public.Sold {
				t.Errorf("capacity: got %+v", c)
			}
			return c.Total.Sold
		}
		post := func(path, body string) string {
			return location(t, answerOf(t, p, 201, a.call("POST", "http://park.test:8083"+path, body)))
		}
		booking := post("/bookings/", `{"delivery_method":"digital"}`)
		pid := strings.TrimPrefix(booking, "/bookings/")
		one := `{"booking":` + pid + `,"show":"` + show + `","price":"p","sector":"s"}`
		batch := post("/tickets/", "["+one+","+one+"]")
		if u, err := url.Parse(batch); err != nil || u.Path != "/tickets/" || u.Query().Get("filters[batchId]") == "" || u.Query().Get("orderBy[batchOrder]") != "asc" {
			t.Errorf("Location: %q, %v", batch, err)
		}
		tickets := tpGet[[]struct {
			Booking     int
			Price, Code string
			Seat        string `json:"seat_string"`
		}](t, a, batch)
		if len(tickets) != 2 || tickets[0].Price != "25.00" || tickets[0].Seat == tickets[1].Seat || tickets[0].Booking == 0 {
			t.Errorf("got %+v", tickets)
		}
		if n := sold(); n != 2 {
			t.Errorf("sold: %d", n)
		}
		time.Sleep(30 * time.Minute)
		if n := sold(); n != 0 {
			t.Errorf("sold after the hold ran out: %d", n)
		}
		post("/tickets/", "["+one+"]")
		answerOf(t, p, 204, a.call("PATCH", booking, `{"confirmation":true}`))
		time.Sleep(time.Hour)
		if n := sold(); n != 1 {
			t.Errorf("sold after confirmation: %d", n)
		}
		got := tpGet[struct {
			PID          int
			Confirmation bool
			Tickets      []any
		}](t, a, booking)
		if got.PID == 0 || !got.Confirmation || len(got.Tickets) != 1 {
			t.Errorf("got %+v", got)
		}

		answerOf(t, p, 409, a.call("POST", "/tickets/", "["+strings.Repeat(one+",", 99)+one+"]"))
		answerOf(t, p, 409, a.call("POST", "/tickets/", "[]"))
		answerOf(t, p, 409, a.call("POST", "/tickets/", one))
		answerOf(t, p, 409, a.call("POST", "/tickets/", `[{"booking":"1","show":"`+show+`"}]`))
		answerOf(t, p, 409, a.call("PATCH", booking, "x"))
		answerOf(t, p, 409, a.call("POST", "/bookings/", ""))
		answerOf(t, p, 409, a.call("POST", "/tickets/", `[{"booking":true,"show":"`+show+`"}]`))
		answerOf(t, p, 404, a.call("PATCH", "/bookings/1", `{"confirmation":true}`))
		answerOf(t, p, 404, a.call("GET", "/bookings/1", ""))
		answerOf(t, p, 404, a.call("GET", "/shows/1", ""))
		if got := tpGet[map[string]any](t, a, "/shows/"+show); got["capacity"] != nil {
			t.Errorf("capacity was not requested: %v", got)
		}
	})
}
