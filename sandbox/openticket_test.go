package sandbox_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

type otResource struct {
	GUID           string
	Name           string
	Type           string
	Status         string
	Currency       string
	Locale         string
	LocationID     string `json:"location_id"`
	CompanyID      string `json:"company_id"`
	CreatedAt      string `json:"created_at"`
	AvailableStock int    `json:"available_stock"`
}

func otGet[T any](t *testing.T, a app, target string, lines ...string) T {
	t.Helper()
	return decoded[T](t, answerOf(t, a.p, 200, a.call("GET", target, "", lines...)))
}

func TestOpenTicketBearer(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	revoked := newAccessToken(t, p)
	p.RevokeAccess()
	token := newAccessToken(t, p)
	denied := func(hint string) string {
		return league("access_denied", "The resource owner or authorization server denied the request.", hint)
	}
	for name, x := range map[string]struct {
		lines []string
		hint  string
	}{
		"none":    {nil, `Missing \"Authorization\" header`},
		"no JWT":  {[]string{bearer("x")}, "The JWT string must have two dots"},
		"basic":   {[]string{"Authorization: Basic " + token}, "The JWT string must have two dots"},
		"two":     {[]string{bearer(token), bearer(token)}, "The JWT string must have two dots"},
		"unknown": {[]string{bearer("a.b.c")}, "Access token could not be verified"},
		"revoked": {[]string{bearer(revoked)}, "Access token has been revoked"},
		"refresh": {[]string{bearer(p.Seed())}, "The JWT string must have two dots"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantBody(t, answerOf(t, p, 401, call{"GET", "/users/me", x.lines, ""}), denied(x.hint))
		})
	}
}

func TestOpenTicketReads(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).OpenTicket)
	for _, prefix := range []string{"", "/3.0.0"} {
		for _, path := range []string{"/users/me", "/user/me"} {
			if me := otGet[otResource](t, a, prefix+path); me.GUID == "" || me.Name != "Ada Prompter" {
				t.Errorf("%s: got %+v", path, me)
			}
		}
		for which, want := range map[string]int{"normal": 3, "upcoming": 2, "past": 1} {
			events := otGet[[]otResource](t, a, prefix+"/event/"+which)
			if len(events) != want {
				t.Errorf("%s: %d events, want %d", which, len(events), want)
				continue
			}
			if one := otGet[otResource](t, a, prefix+"/event/"+events[0].GUID); one != events[0] {
				t.Errorf("got %+v, want %+v", one, events[0])
			}
		}
	}
	answerOf(t, a.p, 404, a.call("GET", "/event/unknown", ""))
	answerOf(t, a.p, 404, a.call("GET", "/2.0.0/users/me", ""))
	answerOf(t, a.p, 405, a.call("DELETE", "/users/me", ""))
}

func TestOpenTicketCompanies(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).OpenTicket)
	city := otGet[[]otResource](t, a, "/event/upcoming")[0].CompanyID
	summer := otGet[[]otResource](t, a, "/event/past")[0].CompanyID
	for name, x := range map[string]struct {
		lines []string
		want  int
	}{
		"one":      {[]string{"Company: " + city}, 2},
		"other":    {[]string{"Company: " + summer}, 1},
		"commas":   {[]string{"Company: " + city + ", " + summer}, 3},
		"lines":    {[]string{"Company: " + summer, "Company: " + city}, 3},
		"no value": {[]string{"Company: "}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := otGet[[]otResource](t, a, "/event/normal", x.lines...); len(got) != x.want {
				t.Errorf("%d events, want %d", len(got), x.want)
			}
		})
	}
	answerOf(t, a.p, 403, a.call("GET", "/event/normal", "", "Company: x"))
	answerOf(t, a.p, 403, a.call("GET", "/users/me", "", "Company: "+city, "Company: x"))
	event := otGet[[]otResource](t, a, "/event/past")[0].GUID
	answerOf(t, a.p, 404, a.call("GET", "/event/"+event, "", "Company: "+city))
}

func TestOpenTicketCreates(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).OpenTicket)
	summer := otGet[[]otResource](t, a, "/event/past")[0].CompanyID
	location := decoded[otResource](t, answerOf(t, a.p, 200, a.call("POST", "/location", `{"name":"Annexe","capacity":952,"address":"2 Theatre Square"}`, "Company: "+summer)))
	if location.GUID == "" || location.Name != "Annexe" || location.CompanyID != summer || location.CreatedAt == "" {
		t.Errorf("got %+v", location)
	}
	path := "/location/" + location.GUID + "/event"
	event := decoded[otResource](t, answerOf(t, a.p, 200, a.call("POST", path, `{"name":"Cabaret","type":"once","currency":"CHF"}`)))
	if event.Name != "Cabaret" || event.Status != "normal" || event.Currency != "CHF" || event.Locale != "nl_NL" || event.LocationID != location.GUID || event.CompanyID != summer {
		t.Errorf("got %+v", event)
	}
	if got := otGet[otResource](t, a, "/event/"+event.GUID); got != event {
		t.Errorf("got %+v, want %+v", got, event)
	}
	asForm := call{"POST", "/location", []string{bearer(a.token), "Content-Type: " + formType}, "name=x"}
	answerOf(t, a.p, 422, asForm)
	answerOf(t, a.p, 422, a.call("POST", "/location", `{"capacity":1}`))
	answerOf(t, a.p, 422, a.call("POST", path, `{"name":1}`))
	answerOf(t, a.p, 422, a.call("POST", path, `{}`))
	answerOf(t, a.p, 404, a.call("POST", "/location/x/event", `{"name":"x"}`))
}

type otOrders struct {
	CurrentPage int `json:"current_page"`
	LastPage    int `json:"last_page"`
	Total       int
	From, To    *int
	Path        string
	Next        *string `json:"next_page_url"`
	Previous    *string `json:"prev_page_url"`
	Data        []struct {
		GUID     string
		Price    int `json:"finn_price"`
		Payments []any
		Shop     *otResource
	}
}

func TestOpenTicketOrders(t *testing.T) {
	t.Parallel()
	a := newApp(t, sandbox.New(sandbox.Options{}).OpenTicket)
	page := otGet[otOrders](t, a, "http://shop.test/orders?page=2&per_page=2&include=payments,shop&append=events")
	if page.CurrentPage != 2 || page.LastPage != 3 || page.Total != 5 || len(page.Data) != 2 || *page.From != 3 || *page.To != 4 {
		t.Errorf("got %+v", page)
	}
	if page.Path != "http://shop.test/orders" || !strings.HasPrefix(*page.Next, "http://shop.test/orders?") || !strings.Contains(*page.Next, "page=3") || !strings.Contains(*page.Previous, "page=1") {
		t.Errorf("links: %s, %v, %v", page.Path, page.Next, page.Previous)
	}
	if len(page.Data[0].Payments) != 1 || page.Data[0].Shop == nil || page.Data[0].Price == 0 {
		t.Errorf("got %+v", page.Data[0])
	}
	last := otGet[otOrders](t, a, "/orders?page=3&per_page=2")
	if len(last.Data) != 1 || last.Next != nil || last.Data[0].Payments != nil || last.Data[0].Shop != nil {
		t.Errorf("got %+v", last)
	}
	for query, want := range map[string]int{"": 5, "?page=9": 0, "?per_page=x&page=-1": 5} {
		if got := otGet[otOrders](t, a, "/orders"+query); len(got.Data) != want {
			t.Errorf("%q: %d orders, want %d", query, len(got.Data), want)
		}
	}
	one := otGet[struct {
		GUID, Email, Download string
		Link                  string `json:"download_link"`
	}](t, a, "http://shop.test/order/"+last.Data[0].GUID)
	if one.GUID != last.Data[0].GUID || !strings.HasPrefix(one.Link, "http://shop.test/order/") {
		t.Errorf("got %+v", one)
	}
	answerOf(t, a.p, 404, a.call("GET", "/order/x", ""))
}

// Each GET takes a ticket out of stock for eight minutes.
func TestOpenTicketReserves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, sandbox.New(sandbox.Options{}).OpenTicket)
		event := otGet[[]otResource](t, a, "/event/normal")[0].GUID
		shop := otGet[otOrders](t, a, "/orders?include=shop").Data[0].Shop.GUID
		stock := func() otResource { return otGet[[]otResource](t, a, "/event/"+event+"/ticket")[0] }
		ticket := stock()
		reserve := a.call("GET", "/"+shop+"/reserve/ticket/"+ticket.GUID, "")
		for left := ticket.AvailableStock - 1; left >= 0; left-- {
			answerOf(t, a.p, 200, reserve)
			if got := stock().AvailableStock; got != left {
				t.Fatalf("stock: got %d, want %d", got, left)
			}
		}
		answerOf(t, a.p, 409, reserve)
		time.Sleep(8*time.Minute - 1)
		answerOf(t, a.p, 409, reserve)
		time.Sleep(time.Nanosecond)
		answerOf(t, a.p, 200, reserve)
		answerOf(t, a.p, 404, a.call("GET", "/x/reserve/ticket/"+ticket.GUID, ""))
		answerOf(t, a.p, 404, a.call("GET", "/"+shop+"/reserve/ticket/x", ""))
		answerOf(t, a.p, 404, a.call("GET", "/event/x/ticket", ""))
	})
}
