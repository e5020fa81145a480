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

// decode reads a JSON body; 409 is the documented status of a bad payload, and
// application/json the required type.
func (v *ticketpark) decode(r request, into any) *answer {
	if !r.hasJSON() || json.Unmarshal(r.body, into) != nil {
		a := v.conflict("The payload cannot be read.")
		return &a
	}
	return nil
}

func (v *ticketpark) conflict(text string) answer { return v.fault(http.StatusConflict, text) }

func (v *ticketpark) notFound() answer { return v.fault(http.StatusNotFound, "Not Found") }

// created has no body: the absolute Location is the only place for a new pid.
func created(r request, pathAndQuery string) answer {
	return answer{status: http.StatusCreated}.with("Location", r.origin()+pathAndQuery)
}

func noContent() answer { return answer{status: http.StatusNoContent} }

// listEvents pages from 0; without maxResults it answers with all.
func (v *ticketpark) listEvents(r request) answer {
	q := r.URL.Query()
	all := v.season.events
	shown := all
	if q.Has("maxResults") || q.Has("page") {
		page, err := whole(q, "page", 0)
		if err != nil {
			return v.conflict(err.Error())
		}
		most, err := whole(q, "maxResults", 10)
		if err != nil {
			return v.conflict(err.Error())
		}
		from := min(page*most, len(all))
		shown = all[from:min(from+most, len(all))]
	}
	list := []any{}
	for _, e := range shown {
		list = append(list, v.shownEvent(r, e))
	}
	return jsonAnswer(http.StatusOK, list).with("X-Count", strconv.Itoa(len(all)))
}

// whole reads a whole number small enough to multiply.
func whole(q url.Values, name string, fallback int) (int, error) {
	if !q.Has(name) {
		return fallback, nil
	}
	n, err := strconv.ParseUint(q.Get(name), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", name)
	}
	return int(n), nil
}

// shownEvent has the children that properties asks for.
func (v *ticketpark) shownEvent(r request, e *tpEvent) any {
	if !wants(r, "shows") {
		return e
	}
	return struct {
		*tpEvent
		Shows []*tpShow `json:"shows"`
	}{e, v.season.showsOf(e.PID)}
}

func wants(r request, property string) bool {
	return r.URL.Query().Get("properties["+property+"]") == "1"
}

func (v *ticketpark) onEvent(r request, serve func(*tpEvent) answer) answer {
	if e := v.season.event(r.PathValue("pid")); e != nil {
		return serve(e)
	}
	return v.notFound()
}

func (v *ticketpark) readEvent(r request) answer {
	return v.onEvent(r, func(e *tpEvent) answer { return jsonAnswer(http.StatusOK, v.shownEvent(r, e)) })
}

func (v *ticketpark) createEvent(r request) answer {
	e := tpEvent{Currency: "CHF"}
	if refused := v.decode(r, &e); refused != nil {
		return *refused
	}
	if e.Name == "" || e.Host != v.season.host {
		return v.conflict("name and an existing host are required.")
	}
	e.PID = v.season.newPID()
	v.season.events = append(v.season.events, &e)
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

// deleteEvent cascades to the event's shows and their tickets.
func (v *ticketpark) deleteEvent(r request) answer {
	return v.onEvent(r, func(e *tpEvent) answer {
		s := &v.season
		s.tickets = slices.DeleteFunc(s.tickets, func(t *tpTicket) bool {
			show := s.show(t.Show)
			return show != nil && show.Event == e.PID
		})
		s.shows = slices.DeleteFunc(s.shows, func(show *tpShow) bool { return show.Event == e.PID })
		s.events = slices.DeleteFunc(s.events, func(other *tpEvent) bool { return other == e })
		return noContent()
	})
}

func (v *ticketpark) readShow(r request) answer {
	show := v.season.show(tpPID(r.PathValue("pid")))
	if show == nil {
		return v.notFound()
	}
	if !wants(r, "capacity") {
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
	sold := v.season.sold(show.PID, time.Now())
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
	b.PID = v.season.newBookingPID()
	b.Readable = string(b.PID[:4] + "-" + b.PID[4:8] + "-" + b.PID[8:])
	v.season.bookings = append(v.season.bookings, &b)
	return created(r, "/bookings/"+string(b.PID))
}

func (v *ticketpark) readBooking(r request) answer {
	b := v.season.booking(tpPID(r.PathValue("pid")))
	if b == nil {
		return v.notFound()
	}
	return jsonAnswer(http.StatusOK, struct {
		*tpBooking
		Tickets []*tpTicket `json:"tickets"`
	}{b, v.heldTickets(func(t *tpTicket) bool { return t.Booking == b.PID })})
}

// updateBooking confirms: what was held then stays sold.
func (v *ticketpark) updateBooking(r request) answer {
	b := v.season.booking(tpPID(r.PathValue("pid")))
	if b == nil {
		return v.notFound()
	}
	next := *b
	if refused := v.decode(r, &next); refused != nil {
		return *refused
	}
	// Tickets whose time ran out do not come back with a late confirmation.
	now := time.Now()
	v.season.tickets = slices.DeleteFunc(v.season.tickets, func(t *tpTicket) bool {
		return t.Booking == b.PID && !v.season.holds(t, now)
	})
	next.PID, next.Readable = b.PID, b.Readable
	*b = next
	return noContent()
}

// createTickets sells all of the array or none. The punctuation of the Location
// is inferred; its parts are the cookbook's.
func (v *ticketpark) createTickets(r request) answer {
	var asked []struct {
		Booking tpPID  `json:"booking"`
		Show    tpPID  `json:"show"`
		Price   *tpPID `json:"price"`
		Sector  *tpPID `json:"sector"`
	}
	if refused := v.decode(r, &asked); refused != nil {
		return *refused
	}
	if len(asked) == 0 {
		return v.conflict("The array is empty.")
	}
	now := time.Now()
	wanted := map[tpPID]int{}
	for _, a := range asked {
		show := v.season.show(a.Show)
		if show == nil || v.season.booking(a.Booking) == nil {
			return v.conflict("Each ticket needs an existing booking and show.")
		}
		wanted[a.Show]++
		if v.season.sold(a.Show, now)+wanted[a.Show] > show.public {
			return v.conflict("The show is sold out.")
		}
	}
	batch := string(v.season.newPID())
	for _, a := range asked {
		pid, seat := v.season.newPID(), v.season.freeSeat(a.Show, now)
		v.season.tickets = append(v.season.tickets, &tpTicket{
			PID: pid, Booking: a.Booking, Show: a.Show, batch: batch, made: now, seat: seat,
			Price: v.season.show(a.Show).price,
			Seat:  fmt.Sprintf("Row %c, seat %d", 'A'+rune(seat/10), seat%10+1),
			Code:  "T" + string(pid[len(pid)-8:]),
		})
	}
	return created(r, "/tickets/?filters[batchId]="+batch+"&orderBy[batchOrder]=asc")
}

func (v *ticketpark) listTickets(r request) answer {
	batch := r.URL.Query().Get("filters[batchId]")
	list := v.heldTickets(func(t *tpTicket) bool { return batch == "" || t.batch == batch })
	return jsonAnswer(http.StatusOK, list).with("X-Count", strconv.Itoa(len(list)))
}

func (v *ticketpark) heldTickets(of func(*tpTicket) bool) []*tpTicket {
	now := time.Now()
	list := []*tpTicket{}
	for _, t := range v.season.tickets {
		if of(t) && v.season.holds(t, now) {
			list = append(list, t)
		}
	}
	return list
}
