package sandbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// unconfirmedLife is how long the tickets of an unconfirmed booking are held (vendor's
// cookbook).
const unconfirmedLife = 30 * time.Minute

// A tpPID is a record's id: a number for a booking, otherwise a string. Clients may send
// either.
type tpPID string

// MarshalJSON implements [json.Marshaler].
func (p tpPID) MarshalJSON() ([]byte, error) {
	if _, err := strconv.ParseUint(string(p), 10, 64); err == nil {
		return []byte(p), nil
	}
	return json.Marshal(string(p))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *tpPID) UnmarshalJSON(b []byte) error {
	if s := string(b); !strings.HasPrefix(s, `"`) {
		var n json.Number
		if err := json.Unmarshal(b, &n); err != nil {
			return fmt.Errorf("reading pid: %w", err)
		}
		*p = tpPID(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("reading pid: %w", err)
	}
	*p = tpPID(s)
	return nil
}

// A tpTime is formatted as in the cookbook: without a colon in the offset.
type tpTime struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (t tpTime) MarshalJSON() ([]byte, error) {
	return []byte(t.Format(`"2006-01-02T15:04:05-0700"`)), nil
}

// A tpData holds one host, its events and shows, and their bookings.
type tpData struct {
	host     tpPID
	events   []*tpEvent
	shows    []*tpShow
	bookings []*tpBooking
	tickets  []*tpTicket
	lastPID  int
	lastSale int
}

type tpEvent struct {
	PID             tpPID  `json:"pid"`
	Host            tpPID  `json:"host"`
	Name            string `json:"name"`
	Currency        string `json:"currency"`
	DigitalDispatch bool   `json:"allow_digital_dispatch"`
}

type tpShow struct {
	PID    tpPID  `json:"pid"`
	Event  tpPID  `json:"event"`
	Name   string `json:"name"`
	Date   tpTime `json:"date"`
	price  string
	total  int // seats
	public int // seats on public sale, out of total
}

type tpBooking struct {
	PID            tpPID  `json:"pid"`
	Readable       string `json:"pid_readable"`
	Confirmation   bool   `json:"confirmation"`
	DeliveryMethod string `json:"delivery_method"`
}

type tpTicket struct {
	PID     tpPID  `json:"pid"`
	Booking tpPID  `json:"booking"`
	Show    tpPID  `json:"show"`
	Price   string `json:"price"`
	Seat    string `json:"seat_string"`
	Code    string `json:"code"`
	batch   string
	seat    int
	made    time.Time
}

func (d *tpData) newPID() tpPID {
	d.lastPID++
	return tpPID(fmt.Sprintf("7cafe000-0000-4000-8000-%012d", d.lastPID))
}

// newBookingPID returns a number as long as the one in the cookbook.
func (d *tpData) newBookingPID() tpPID {
	d.lastSale++
	return tpPID(strconv.Itoa(293233446000 + d.lastSale))
}

func newTPData() tpData {
	var d tpData
	d.host = d.newPID()
	opening := time.Date(2026, time.October, 2, 19, 30, 0, 0, time.FixedZone("", 2*60*60))
	for i, name := range []string{"My Fair Lady", "The Seagull", "Cabaret"} {
		e := &tpEvent{PID: d.newPID(), Host: d.host, Name: name, Currency: "CHF", DigitalDispatch: true}
		d.events = append(d.events, e)
		for night := range 2 {
			d.shows = append(d.shows, &tpShow{
				PID: d.newPID(), Event: e.PID, Name: name, price: "25.00", total: 120, public: 100,
				Date: tpTime{opening.AddDate(0, 0, 7*i+night)},
			})
		}
	}
	return d
}

func (d *tpData) event(pid string) *tpEvent {
	for _, e := range d.events {
		if string(e.PID) == pid {
			return e
		}
	}
	return nil
}

func (d *tpData) show(pid tpPID) *tpShow {
	for _, show := range d.shows {
		if show.PID == pid {
			return show
		}
	}
	return nil
}

func (d *tpData) booking(pid tpPID) *tpBooking {
	for _, b := range d.bookings {
		if b.PID == pid {
			return b
		}
	}
	return nil
}

// showsOf lists an event's shows.
func (d *tpData) showsOf(event tpPID) []*tpShow {
	found := []*tpShow{}
	for _, show := range d.shows {
		if show.Event == event {
			found = append(found, show)
		}
	}
	return found
}

// sold counts a show's tickets that are confirmed or still held.
func (d *tpData) sold(show tpPID, now time.Time) int {
	n := 0
	for _, t := range d.tickets {
		if t.Show == show && d.valid(t, now) {
			n++
		}
	}
	return n
}

// freeSeat returns the first seat of a show, from 0, that no ticket holds.
func (d *tpData) freeSeat(show tpPID, now time.Time) int {
	taken := map[int]bool{}
	for _, t := range d.tickets {
		if t.Show == show && d.valid(t, now) {
			taken[t.seat] = true
		}
	}
	seat := 0
	for taken[seat] {
		seat++
	}
	return seat
}

// valid is false for an expired unconfirmed ticket.
func (d *tpData) valid(t *tpTicket, now time.Time) bool {
	b := d.booking(t.Booking)
	return b != nil && b.Confirmation || now.Before(t.made.Add(unconfirmedLife))
}
