package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// decode reads a JSON body. The docs require application/json, and answer 409 to a bad
// payload.
func (v *ticketpark) decode(r request, into any) *answer {
	if !r.hasJSON() || json.Unmarshal(r.body, into) != nil {
		a := v.conflict("The payload cannot be read.")
		return &a
	}
	return nil
}

func (v *ticketpark) conflict(text string) answer { return v.errorAnswer(http.StatusConflict, text) }

func (v *ticketpark) notFound() answer { return v.errorAnswer(http.StatusNotFound, "Not Found") }

// created has no body. Only the absolute Location has the new pid.
func created(r request, pathAndQuery string) answer {
	return answer{status: http.StatusCreated}.with("Location", r.origin()+pathAndQuery)
}

func noContent() answer { return answer{status: http.StatusNoContent} }

// listEvents counts pages from 0. Without page and maxResults it returns all events.
func (v *ticketpark) listEvents(r request) answer {
	q := r.URL.Query()
	all := v.data.events
	shown := all
	if q.Has("maxResults") || q.Has("page") {
		page, err := parseCount(q, "page", 0)
		if err != nil {
			return v.conflict(err.Error())
		}
		most, err := parseCount(q, "maxResults", 10)
		if err != nil {
			return v.conflict(err.Error())
		}
		from := min(page*most, len(all))
		shown = all[from:min(from+most, len(all))]
	}
	list := []any{}
	for _, e := range shown {
		list = append(list, v.eventWithChildren(r, e))
	}
	return jsonAnswer(http.StatusOK, list).with("X-Count", strconv.Itoa(len(all)))
}

// parseCount parses a number that is small enough to multiply.
func parseCount(q url.Values, name string, fallback int) (int, error) {
	if !q.Has(name) {
		return fallback, nil
	}
	n, err := strconv.ParseUint(q.Get(name), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", name)
	}
	return int(n), nil
}

// eventWithChildren returns an event with the children that the query requests.
func (v *ticketpark) eventWithChildren(r request, e *tpEvent) any {
	if !requested(r, "shows") {
		return e
	}
	return struct {
		*tpEvent
		Shows []*tpShow `json:"shows"`
	}{e, v.data.showsOf(e.PID)}
}

func requested(r request, property string) bool {
	return r.URL.Query().Get("properties["+property+"]") == "1"
}

func (v *ticketpark) onEvent(r request, serve func(*tpEvent) answer) answer {
	if e := v.data.event(r.PathValue("pid")); e != nil {
		return serve(e)
	}
	return v.notFound()
}

func (v *ticketpark) readEvent(r request) answer {
	return v.onEvent(r, func(e *tpEvent) answer { return jsonAnswer(http.StatusOK, v.eventWithChildren(r, e)) })
}

func (v *ticketpark) createEvent(r request) answer {
	e := tpEvent{Currency: "CHF"}
	if refused := v.decode(r, &e); refused != nil {
		return *refused
	}
	if e.Name == "" || e.Host != v.data.host {
		return v.conflict("name and an existing host are required.")
	}
	e.PID = v.data.newPID()
	v.data.events = append(v.data.events, &e)
	return created(r, "/events/"+string(e.PID))
}

func (v *ticketpark) updateEvent(r request) answer {
	return v.onEvent(r, func(e *tpEvent) answer {
		next := *e
		if refused := v.decode(r, &next); refused != nil {
			return *refused
		}
		if next.Name == "" {
			return v.conflict("name is required.")
		}
		next.PID, next.Host = e.PID, e.Host
		*e = next
		return noContent()
	})
}

// deleteEvent also deletes the event's shows and their tickets.
func (v *ticketpark) deleteEvent(r request) answer {
	return v.onEvent(r, func(e *tpEvent) answer {
		d := &v.data
		d.tickets = slices.DeleteFunc(d.tickets, func(t *tpTicket) bool {
			show := d.show(t.Show)
			return show != nil && show.Event == e.PID
		})
		d.shows = slices.DeleteFunc(d.shows, func(show *tpShow) bool { return show.Event == e.PID })
		d.events = slices.DeleteFunc(d.events, func(other *tpEvent) bool { return other == e })
		return noContent()
	})
}

func (v *ticketpark) readShow(r request) answer {
	show := v.data.show(tpPID(r.PathValue("pid")))
	if show == nil {
		return v.notFound()
	}
	if !requested(r, "capacity") {
		return jsonAnswer(http.StatusOK, show)
	}
	type seats struct {
		Total     int `json:"total"`
		Sold      int `json:"sold"`
		Available int `json:"available"`
	}
	type capacity struct {
		Total  seats `json:"total"`
		Public seats `json:"public"`
	}
	sold := v.data.sold(show.PID, time.Now())
	return jsonAnswer(http.StatusOK, struct {
		*tpShow
		Capacity capacity `json:"capacity"`
	}{show, capacity{
		seats{show.total, sold, show.total - sold},
		seats{show.public, sold, show.public - sold},
	}})
}

func (v *ticketpark) createBooking(r request) answer {
	b := tpBooking{DeliveryMethod: "digital"}
	if refused := v.decode(r, &b); refused != nil {
		return *refused
	}
	b.PID = v.data.newBookingPID()
	b.Readable = string(b.PID[:4] + "-" + b.PID[4:8] + "-" + b.PID[8:])
	v.data.bookings = append(v.data.bookings, &b)
	return created(r, "/bookings/"+string(b.PID))
}

func (v *ticketpark) readBooking(r request) answer {
	b := v.data.booking(tpPID(r.PathValue("pid")))
	if b == nil {
		return v.notFound()
	}
	return jsonAnswer(http.StatusOK, struct {
		*tpBooking
		Tickets []*tpTicket `json:"tickets"`
	}{b, v.validTickets(func(t *tpTicket) bool { return t.Booking == b.PID })})
}

// updateBooking changes a booking. A confirmed booking keeps the tickets it held.
func (v *ticketpark) updateBooking(r request) answer {
	b := v.data.booking(tpPID(r.PathValue("pid")))
	if b == nil {
		return v.notFound()
	}
	next := *b
	if refused := v.decode(r, &next); refused != nil {
		return *refused
	}
	// A late confirmation does not bring back expired tickets.
	now := time.Now()
	v.data.tickets = slices.DeleteFunc(v.data.tickets, func(t *tpTicket) bool {
		return t.Booking == b.PID && !v.data.valid(t, now)
	})
	next.PID, next.Readable = b.PID, b.Readable
	*b = next
	return noContent()
}

// createTickets sells all tickets of the array or none. The vendor's cookbook has the
// parts of the Location; its punctuation is inferred.
func (v *ticketpark) createTickets(r request) answer {
	var items []struct {
		Booking tpPID  `json:"booking"`
		Show    tpPID  `json:"show"`
		Price   *tpPID `json:"price"`
		Sector  *tpPID `json:"sector"`
	}
	if refused := v.decode(r, &items); refused != nil {
		return *refused
	}
	if len(items) == 0 {
		return v.conflict("The array is empty.")
	}
	now := time.Now()
	requestedSeats := map[tpPID]int{}
	for _, a := range items {
		show := v.data.show(a.Show)
		if show == nil || v.data.booking(a.Booking) == nil {
			return v.conflict("Each ticket needs an existing booking and show.")
		}
		requestedSeats[a.Show]++
		if v.data.sold(a.Show, now)+requestedSeats[a.Show] > show.public {
			return v.conflict("The show is sold out.")
		}
	}
	batch := string(v.data.newPID())
	for _, a := range items {
		pid, seat := v.data.newPID(), v.data.freeSeat(a.Show, now)
		v.data.tickets = append(v.data.tickets, &tpTicket{
			PID: pid, Booking: a.Booking, Show: a.Show, batch: batch, made: now, seat: seat,
			Price: v.data.show(a.Show).price,
			Seat:  fmt.Sprintf("Row %c, seat %d", 'A'+rune(seat/10), seat%10+1),
			Code:  "T" + string(pid[len(pid)-8:]),
		})
	}
	return created(r, "/tickets/?filters[batchId]="+batch+"&orderBy[batchOrder]=asc")
}

func (v *ticketpark) listTickets(r request) answer {
	batch := r.URL.Query().Get("filters[batchId]")
	list := v.validTickets(func(t *tpTicket) bool { return batch == "" || t.batch == batch })
	return jsonAnswer(http.StatusOK, list).with("X-Count", strconv.Itoa(len(list)))
}

func (v *ticketpark) validTickets(match func(*tpTicket) bool) []*tpTicket {
	now := time.Now()
	list := []*tpTicket{}
	for _, t := range v.data.tickets {
		if match(t) && v.data.valid(t, now) {
			list = append(list, t)
		}
	}
	return list
}
