package sandbox

import (
	"fmt"
	"time"
)

// reservationLife is how long a reserved ticket is held (vendor's page "Reservations").
const reservationLife = 8 * time.Minute

// An otData holds two companies, their venues, and what they sell.
type otData struct {
	user         otUser
	companies    []otCompany
	locations    []otLocation
	events       []otEvent
	shop         otShop
	tickets      []otTicket
	reservations []otReservation
	orders       []otOrder
	lastGUID     int
}

type otCompany struct{ GUID, Name string }

type otUser struct {
	GUID             string  `json:"guid"`
	DefaultCompanyID string  `json:"default_company_id"`
	WhitelabelID     *string `json:"whitelabel_id"`
	Name             string  `json:"name"`
	Email            string  `json:"email"`
	Phone            *string `json:"phone"`
	CreatedAt        string  `json:"created_at"`
	UpdatedAt        string  `json:"updated_at"`
}

type otLocation struct {
	Name      string `json:"name"`
	Capacity  int    `json:"capacity"`
	Address   string `json:"address"`
	CompanyID string `json:"company_id"`
	GUID      string `json:"guid"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

type otEvent struct {
	Status     string          `json:"status"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Currency   string          `json:"currency"`
	Locale     string          `json:"locale"`
	Category   *string         `json:"category"`
	LocationID string          `json:"location_id"`
	Location   otEventLocation `json:"location"`
	CompanyID  string          `json:"company_id"`
	GUID       string          `json:"guid"`
	CreatedAt  string          `json:"created_at"`
	UpdatedAt  string          `json:"updated_at"`
	past       bool
}

type otEventLocation struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

type otShop struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

type otTicket struct {
	GUID, EventID, Name string
	Price, Stock        int // in cents; the stock without reservations
}

type otReservation struct {
	GUID     string `json:"guid"`
	TicketID string `json:"ticket_id"`
	ShopID   string `json:"shop_id"`
	Expires  string `json:"expires_at"`
	Stock    int    `json:"available_stock"`
	until    time.Time
}

type otOrder struct {
	GUID      string          `json:"guid"`
	Email     string          `json:"email"`
	Status    string          `json:"status"`
	Price     int             `json:"finn_price"` // cents
	Tickets   []otOrderTicket `json:"tickets"`
	Payments  []otPayment     `json:"payments,omitempty"`
	Shop      *otShop         `json:"shop,omitempty"`
	Download  string          `json:"download_link"`
	Receipt   string          `json:"receipt_link"`
	CompanyID string          `json:"company_id"`
	CreatedAt string          `json:"created_at"`
}

type otOrderTicket struct {
	GUID     string `json:"guid"`
	TicketID string `json:"ticket_id"`
}

type otPayment struct {
	GUID   string `json:"guid"`
	Amount int    `json:"amount"`
	Status string `json:"status"`
}

func (d *otData) newGUID() string {
	d.lastGUID++
	return fmt.Sprintf("0a7e0000-0000-4000-8000-%012d", d.lastGUID)
}

func formatTime(t time.Time) string { return t.Format(time.RFC3339) }

func newOTData() otData {
	var d otData
	made := time.Date(2026, time.August, 1, 10, 0, 0, 0, time.UTC)
	at := formatTime(made)
	for _, name := range []string{"City Theatre", "Summer Stage"} {
		d.companies = append(d.companies, otCompany{d.newGUID(), name})
	}
	city, summer := d.companies[0].GUID, d.companies[1].GUID
	d.user = otUser{
		GUID: d.newGUID(), DefaultCompanyID: city,
		Name: "Ada Prompter", Email: "ada@theatre.example", CreatedAt: at, UpdatedAt: at,
	}
	d.shop = otShop{d.newGUID(), "Box office"}
	main := otLocation{"Main house", 952, "1 Theatre Square", city, d.newGUID(), at, at}
	park := otLocation{"Park stage", 400, "Bandstand, City Park", summer, d.newGUID(), at, at}
	d.locations = []otLocation{main, park}
	for _, e := range []struct {
		name string
		at   otLocation
		past bool
	}{
		{"My Fair Lady", main, false},
		{"The Seagull", main, false},
		{"A Midsummer Night's Dream", park, true},
	} {
		d.events = append(d.events, otEvent{
			Status: "normal", Name: e.name, Type: "once", Currency: "EUR", Locale: "nl_NL",
			LocationID: e.at.GUID, Location: otEventLocation{e.at.GUID, e.at.Name}, CompanyID: e.at.CompanyID,
			GUID: d.newGUID(), CreatedAt: at, UpdatedAt: at, past: e.past,
		})
	}
	d.tickets = []otTicket{
		{d.newGUID(), d.events[0].GUID, "Stalls", 4200, 3},
		{d.newGUID(), d.events[1].GUID, "Balcony", 1900, 120},
	}
	for i, guest := range []string{"dora", "emil", "fay", "gus", "hana"} {
		t := d.tickets[i%2]
		company := []string{city, summer}[i%2]
		guid := d.newGUID()
		d.orders = append(d.orders, otOrder{
			GUID: guid, Email: guest + "@guests.example", Status: "paid", Price: t.Price,
			Tickets:   []otOrderTicket{{d.newGUID(), t.GUID}},
			Payments:  []otPayment{{d.newGUID(), t.Price, "paid"}},
			CompanyID: company, CreatedAt: formatTime(made.Add(time.Duration(i) * time.Hour)),
		})
	}
	return d
}

// left returns a ticket's stock less its unexpired reservations.
func (d *otData) left(t otTicket, now time.Time) int {
	n := t.Stock
	for _, r := range d.reservations {
		if r.TicketID == t.GUID && now.Before(r.until) {
			n--
		}
	}
	return n
}
