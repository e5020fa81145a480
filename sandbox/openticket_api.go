package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// allRoutes serves every API path without a prefix, as in the docs, and under /3.0.0,
// as in the vendor's starter project. One origin stands for the vendor's several hosts.
func (v *openTicket) allRoutes() []route {
	api := []route{
		{method: "GET", pattern: "/users/me", serve: v.me},
		{method: "GET", pattern: "/user/me", serve: v.me},
		{method: "POST", pattern: "/location", serve: v.createLocation},
		{method: "POST", pattern: "/location/{guid}/event", serve: v.createEvent},
		{method: "GET", pattern: "/event/{which}", serve: v.readEvents},
		{method: "GET", pattern: "/event/{guid}/ticket", serve: v.listTickets},
		{method: "GET", pattern: "/orders", serve: v.listOrders},
		{method: "GET", pattern: "/order/{guid}", serve: v.readOrder},
		{method: "GET", pattern: "/{shop}/reserve/ticket/{ticket}", serve: v.reserve},
	}
	all := slices.Clone(api)
	for _, r := range api {
		r.pattern = "/3.0.0" + r.pattern
		all = append(all, r)
	}
	for _, path := range []string{"/tokens/authorize", "/token/authorize"} {
		all = append(all,
			route{method: "GET", pattern: path, serve: v.consent, open: true},
			route{method: "POST", pattern: path, serve: v.consent, open: true})
	}
	return all
}

func (v *openTicket) routes() []route { return v.table }

// visible reports whether the request may see a resource of the company guid. Without
// a Company header it may.
func visible(r request, guid string) bool {
	named := companies(r)
	return len(named) == 0 || slices.Contains(named, guid)
}

// company returns the company of a new resource: the first in the header, otherwise the
// user's default.
func (v *openTicket) company(r request) string {
	if named := companies(r); len(named) > 0 {
		return named[0]
	}
	return v.data.user.DefaultCompanyID
}

func (v *openTicket) decode(r request, into any) *answer {
	if !r.hasJSON() || json.Unmarshal(r.body, into) != nil {
		a := v.errorAnswer(http.StatusUnprocessableEntity, "The body is not the JSON object that was expected.")
		return &a
	}
	return nil
}

func (v *openTicket) notFound() answer { return v.errorAnswer(http.StatusNotFound, "Not found.") }

func (v *openTicket) me(request) answer { return jsonAnswer(http.StatusOK, v.data.user) }

func (v *openTicket) createLocation(r request) answer {
	var l struct {
		Name     string `json:"name"`
		Capacity int    `json:"capacity"`
		Address  string `json:"address"`
	}
	if refused := v.decode(r, &l); refused != nil {
		return *refused
	}
	if l.Name == "" {
		return v.errorAnswer(http.StatusUnprocessableEntity, "The name field is required.")
	}
	now := formatTime(time.Now())
	made := otLocation{l.Name, l.Capacity, l.Address, v.company(r), v.data.newGUID(), now, now}
	v.data.locations = append(v.data.locations, made)
	return jsonAnswer(http.StatusOK, made)
}

func (v *openTicket) createEvent(r request) answer {
	i := slices.IndexFunc(v.data.locations, func(l otLocation) bool {
		return l.GUID == r.PathValue("guid") && visible(r, l.CompanyID)
	})
	if i < 0 {
		return v.notFound()
	}
	fields := struct {
		Name     string  `json:"name"`
		Type     string  `json:"type"`
		Currency string  `json:"currency"`
		Locale   string  `json:"locale"`
		Category *string `json:"category"`
	}{Type: "once", Currency: "EUR", Locale: "nl_NL"}
	if refused := v.decode(r, &fields); refused != nil {
		return *refused
	}
	if fields.Name == "" {
		return v.errorAnswer(http.StatusUnprocessableEntity, "The name field is required.")
	}
	at, now := v.data.locations[i], formatTime(time.Now())
	made := otEvent{
		Status: "normal", Name: fields.Name, Type: fields.Type, Currency: fields.Currency, Locale: fields.Locale,
		Category: fields.Category, LocationID: at.GUID, Location: otEventLocation{at.GUID, at.Name},
		CompanyID: at.CompanyID, GUID: v.data.newGUID(), CreatedAt: now, UpdatedAt: now,
	}
	v.data.events = append(v.data.events, made)
	return jsonAnswer(http.StatusOK, made)
}

// readEvents answers with an array for a type, and with an object for a guid.
func (v *openTicket) readEvents(r request) answer {
	which := r.PathValue("which")
	list := []otEvent{}
	for _, e := range v.data.events {
		if !visible(r, e.CompanyID) {
			continue
		}
		if e.GUID == which {
			return jsonAnswer(http.StatusOK, e)
		}
		if which == "normal" || which == "past" && e.past || which == "upcoming" && !e.past {
			list = append(list, e)
		}
	}
	if which != "normal" && which != "past" && which != "upcoming" {
		return v.notFound()
	}
	return jsonAnswer(http.StatusOK, list)
}

// listTickets shows the stock that [openTicket.reserve] counts down.
func (v *openTicket) listTickets(r request) answer {
	type ticket struct {
		GUID    string `json:"guid"`
		EventID string `json:"event_id"`
		Name    string `json:"name"`
		Price   int    `json:"min_price"`
		Stock   int    `json:"available_stock"`
	}
	i := slices.IndexFunc(v.data.events, func(e otEvent) bool {
		return e.GUID == r.PathValue("guid") && visible(r, e.CompanyID)
	})
	if i < 0 {
		return v.notFound()
	}
	list := []ticket{}
	for _, t := range v.data.tickets {
		if t.EventID == v.data.events[i].GUID {
			list = append(list, ticket{t.GUID, t.EventID, t.Name, t.Price, v.data.left(t, time.Now())})
		}
	}
	return jsonAnswer(http.StatusOK, list)
}

// listOrders pages like Laravel's paginator, with absolute links on the origin that
// the client called. Inferred from data and last_page, which clients read.
func (v *openTicket) listOrders(r request) answer {
	q := r.URL.Query()
	page, perPage := positive(q.Get("page"), 1), min(positive(q.Get("per_page"), 15), 100)
	orders := []otOrder{}
	for _, o := range v.data.orders {
		if visible(r, o.CompanyID) {
			orders = append(orders, v.orderWithParts(r, o, strings.Split(q.Get("include"), ",")))
		}
	}
	total := len(orders)
	last := max(1, (total+perPage-1)/perPage)
	from := min((page-1)*perPage, total)
	to := min(from+perPage, total)

	path := r.origin() + r.URL.Path
	link := func(n int) *string {
		if n < 1 || n > last {
			return nil
		}
		q.Set("page", strconv.Itoa(n))
		s := path + "?" + q.Encode()
		return &s
	}
	number := func(n int) *int {
		if from == to {
			return nil
		}
		return &n
	}
	return jsonAnswer(http.StatusOK, struct {
		CurrentPage int       `json:"current_page"`
		Data        []otOrder `json:"data"`
		First       *string   `json:"first_page_url"`
		From        *int      `json:"from"`
		LastPage    int       `json:"last_page"`
		Last        *string   `json:"last_page_url"`
		Next        *string   `json:"next_page_url"`
		Path        string    `json:"path"`
		PerPage     int       `json:"per_page"`
		Previous    *string   `json:"prev_page_url"`
		To          *int      `json:"to"`
		Total       int       `json:"total"`
	}{
		page, orders[from:to], link(1), number(from + 1), last, link(last), link(page + 1), path, perPage,
		link(page - 1), number(to), total,
	})
}

func (v *openTicket) readOrder(r request) answer {
	for _, o := range v.data.orders {
		if o.GUID == r.PathValue("guid") && visible(r, o.CompanyID) {
			return jsonAnswer(http.StatusOK, v.orderWithParts(r, o, []string{"payments", "shop"}))
		}
	}
	return v.notFound()
}

// orderWithParts returns an order with the requested parts, and links on this origin.
func (v *openTicket) orderWithParts(r request, o otOrder, include []string) otOrder {
	if !slices.Contains(include, "payments") {
		o.Payments = nil
	}
	if slices.Contains(include, "shop") {
		o.Shop = &v.data.shop
	}
	o.Download = r.origin() + "/order/" + o.GUID + "/download"
	o.Receipt = r.origin() + "/order/" + o.GUID + "/receipt"
	return o
}

// reserve is a GET that takes a ticket out of stock for eight minutes (vendor's page
// "Reservations"). It exposes clients that repeat GETs. The answer's fields and the
// 409 when nothing is left are invented; no page shows them.
func (v *openTicket) reserve(r request) answer {
	now := time.Now()
	if r.PathValue("shop") != v.data.shop.GUID {
		return v.notFound()
	}
	for _, t := range v.data.tickets {
		if t.GUID != r.PathValue("ticket") {
			continue
		}
		left := v.data.left(t, now)
		if left == 0 {
			return v.errorAnswer(http.StatusConflict, "Sold out.")
		}
		until := now.Add(reservationLife)
		made := otReservation{v.data.newGUID(), t.GUID, v.data.shop.GUID, formatTime(until), left - 1, until}
		v.data.reservations = append(v.data.reservations, made)
		return jsonAnswer(http.StatusOK, made)
	}
	return v.notFound()
}

// positive parses a number above zero. Otherwise it returns fallback, as Laravel does.
func positive(s string, fallback int) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return n
	}
	return fallback
}
