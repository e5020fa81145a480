package sandbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// unconfirmedLife is how long tickets of an unconfirmed booking are held (cookbook).
const unconfirmedLife = 30 * time.Minute

// A tpPID names a record: a number for a booking, a string for all else, and
// either where a client sends one.
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

// A tpTime prints as the cookbook does: no colon in the offset.
type tpTime struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (t tpTime) MarshalJSON() ([]byte, error) {
	return []byte(t.Format(`"2006-01-02T15:04:05-0700"`)), nil
}

// A tpSeason is one host, its events and shows, and what is booked.
type tpSeason struct {
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
	public int // of them, those on public sale
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

func (s *tpSeason) newPID() tpPID {
	s.lastPID++
	return tpPID(fmt.Sprintf("7cafe000-0000-4000-8000-%012d", s.lastPID))
}

// newBookingPID is a number of the length of the cookbook's.
func (s *tpSeason) newBookingPID() tpPID {
	s.lastSale++
	return tpPID(strconv.Itoa(293233446000 + s.lastSale))
}

func openSeason() tpSeason {
	var s tpSeason
	s.host = s.newPID()
	opening := time.Date(2026, time.October, 2, 19, 30, 0, 0, time.FixedZone("", 2*60*60))
	for i, name := range []string{"My Fair Lady", "The Seagull", "Cabaret"} {
		e := &tpEvent{PID: s.newPID(), Host: s.host, Name: name, Currency: "CHF", DigitalDispatch: true}
		s.events = append(s.events, e)
		for night := range 2 {
			s.shows = append(s.shows, &tpShow{
				PID: s.newPID(), Event: e.PID, Name: name, price: "25.00", total: 120, public: 100,
				Date: tpTime{opening.AddDate(0, 0, 7*i+night)},
			})
		}
	}
	return s
}

func (s *tpSeason) event(pid string) *tpEvent {
	for _, e := range s.events {
		if string(e.PID) == pid {
			return e
		}
	}
	return nil
}

func (s *tpSeason) show(pid tpPID) *tpShow {
	for _, show := range s.shows {
		if show.PID == pid {
			return show
		}
	}
	return nil
}

func (s *tpSeason) booking(pid tpPID) *tpBooking {
	for _, b := range s.bookings {
		if b.PID == pid {
			return b
		}
	}
	return nil
}

// showsOf lists an event's shows.
func (s *tpSeason) showsOf(event tpPID) []*tpShow {
	found := []*tpShow{}
	for _, show := range s.shows {
		if show.Event == event {
			found = append(found, show)
		}
	}
	return found
}

// sold counts a show's tickets that are confirmed or still held.
func (s *tpSeason) sold(show tpPID, now time.Time) int {
	n := 0
	for _, t := range s.tickets {
		if t.Show == show && s.holds(t, now) {
			n++
		}
	}
	return n
}

// freeSeat is the first seat of a show, from 0, that no ticket holds.
func (s *tpSeason) freeSeat(show tpPID, now time.Time) int {
	taken := map[int]bool{}
	for _, t := range s.tickets {
		if t.Show == show && s.holds(t, now) {
			taken[t.seat] = true
		}
	}
	seat := 0
	for taken[seat] {
		seat++
	}
	return seat
}

// holds is false for an unconfirmed ticket after its time.
func (s *tpSeason) holds(t *tpTicket, now time.Time) bool {
	b := s.booking(t.Booking)
	return b != nil && b.Confirmation || now.Before(t.made.Add(unconfirmedLife))
}
