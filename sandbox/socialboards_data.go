package sandbox

import "time"

// An sbData holds a theatre's support tickets.
type sbData struct {
	tickets    []*sbTicket
	categories []sbCategory
	teammates  []sbTeammate
	lastReply  int
}

type sbCategory struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

type sbTeammate struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Role  string `json:"role"`
	group string
}

type sbAuthor struct {
	ID               int     `json:"id"`
	Name             string  `json:"name"`
	Email            string  `json:"email"`
	Image            *string `json:"image"`
	Status           string  `json:"status"`
	IsBot            bool    `json:"isBot"`
	CustomIdentifier *string `json:"customIdentifier"`
}

type sbTicketProperties struct {
	IsLocked       bool `json:"isLocked"`
	IsSpam         bool `json:"isSpam"`
	IsHidden       bool `json:"isHidden"`
	HasAttachments bool `json:"hasAttachments"`
}

type sbAttachment struct {
	Name          string `json:"name"`
	URL           string `json:"url"`
	IsContentPart bool   `json:"isContentPart"`
}

type sbCustomField struct {
	ID    int    `json:"id"`
	Value string `json:"value"`
}

// An sbTicket has the fields of the vendor's page "Ticket".
type sbTicket struct {
	ID                            int                `json:"id"`
	Title                         string             `json:"title"`
	Message                       string             `json:"message"`
	HTMLMessage                   string             `json:"htmlMessage"`
	Author                        sbAuthor           `json:"author"`
	Category                      *sbCategory        `json:"category"`
	CreationTime                  sbTime             `json:"creationTime"`
	LastThreadElementCreationTime sbTime             `json:"lastThreadElementCreationTime"`
	LockedBy                      *string            `json:"lockedBy"`
	OriginalLink                  *string            `json:"originalLink"`
	Properties                    sbTicketProperties `json:"properties"`
	ReplyCount                    int                `json:"replyCount"`
	IsMuted                       bool               `json:"isMuted"`
	Sentiment                     string             `json:"sentiment"`
	Source                        string             `json:"source"`
	DetailedSource                string             `json:"detailedSource"`
	Status                        string             `json:"status"`
	Tags                          []string           `json:"tags"`
	Attachments                   []sbAttachment     `json:"attachments"`
	CustomFields                  []sbCustomField    `json:"customFields"`
}

type sbReplyProperties struct {
	IsByTeam bool `json:"isByTeam"`
	IsDraft  bool `json:"isDraft"`
	IsHidden bool `json:"isHidden"`
}

// An sbReply has the fields of the vendor's page "Create reply".
type sbReply struct {
	ID            int               `json:"id"`
	TicketID      int               `json:"ticketId"`
	ParentReplyID *int              `json:"parentReplyId"`
	Level         int               `json:"level"`
	Message       string            `json:"message"`
	HTMLMessage   string            `json:"htmlMessage"`
	Author        sbAuthor          `json:"author"`
	CCEmails      []string          `json:"ccEmails"`
	ToEmails      []string          `json:"toEmails"`
	CreationTime  sbTime            `json:"creationTime"`
	Properties    sbReplyProperties `json:"properties"`
	Attachments   []sbAttachment    `json:"attachments"`
}

// An sbTime is formatted as documented: seven fractional digits and the offset.
type sbTime struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (t sbTime) MarshalJSON() ([]byte, error) {
	return []byte(t.Format(`"2006-01-02T15:04:05.0000000-07:00"`)), nil
}

func newSBData() sbData {
	d := sbData{
		categories: []sbCategory{{23445, "Box office"}, {23446, "Access and seating"}, {23447, "Lost property"}},
		teammates: []sbTeammate{
			{"Ada Prompter", "ada@theatre.example", "admin", "front-of-house"},
			{"Bo Limelight", "bo@theatre.example", "agent", "front-of-house"},
			{"Cleo Curtain", "cleo@theatre.example", "agent", "stage-door"},
		},
		lastReply: 9000,
	}
	for _, t := range []struct {
		title, message, name, email, sentiment string
		category                               *sbCategory
	}{
		{"Two seats for My Fair Lady", "May I swap row 12 for row 4?", "Dora Balcony",
			"dora@guests.example", "question", &d.categories[0]},
		{"Wheelchair space on opening night", "Is there a lift to the stalls?", "Emil Stalls",
			"emil@guests.example", "question", &d.categories[1]},
		{"A green umbrella", "Left under seat H7 after The Seagull.", "Fay Gallery", "fay@guests.example", "neutral", nil},
	} {
		d.open(time.Date(2026, time.September, 14, 9, 30+len(d.tickets), 0, 0, time.UTC), &sbTicket{
			Title: t.title, Message: t.message, Sentiment: t.sentiment, Category: t.category,
			Author: sbAuthor{Name: t.name, Email: t.email},
		})
	}
	return d
}

// open adds a ticket and fills in the fields that its sender does not set.
func (d *sbData) open(now time.Time, t *sbTicket) *sbTicket {
	t.ID = 1001 + len(d.tickets)
	t.HTMLMessage = "<p>" + t.Message + "</p>"
	t.Author.ID, t.Author.Status = 5000+t.ID, "client"
	t.CreationTime, t.LastThreadElementCreationTime = sbTime{now}, sbTime{now}
	t.Source, t.DetailedSource, t.Status = "web", "web_website", "open"
	t.Properties.HasAttachments = len(t.Attachments) > 0
	t.Tags = append([]string{}, t.Tags...)
	t.Attachments = append([]sbAttachment{}, t.Attachments...)
	t.CustomFields = append([]sbCustomField{}, t.CustomFields...)
	d.tickets = append(d.tickets, t)
	return t
}

func (d *sbData) ticket(id int) *sbTicket {
	if i := id - 1001; i >= 0 && i < len(d.tickets) {
		return d.tickets[i]
	}
	return nil
}

func (d *sbData) category(id int) *sbCategory {
	for i := range d.categories {
		if d.categories[i].ID == id {
			return &d.categories[i]
		}
	}
	return nil
}
