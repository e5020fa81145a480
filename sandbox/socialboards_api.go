package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// The page "List tickets" sets both.
const (
	sbTakeDefault = 25
	sbTakeMost    = 50
)

// decode reads a JSON body that must be there; a non-nil answer is the refusal.
func (v *socialBoards) decode(r request, into any) *answer {
	if !r.hasJSON() {
		a := v.fault(http.StatusUnsupportedMediaType, "The body is not application/json.")
		return &a
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		a := v.fault(http.StatusBadRequest, "The body cannot be read.")
		return &a
	}
	return nil
}

// listTickets is a POST that reads. An empty body asks for everything.
func (v *socialBoards) listTickets(r request) answer {
	var q struct {
		CategoryID *int       `json:"categoryId"`
		From       *time.Time `json:"from"`
		To         *time.Time `json:"to"`
		Skip       int        `json:"skip"`
		Take       int        `json:"take"`
		Source     string     `json:"source"`
		Status     string     `json:"status"`
		TicketIDs  []int      `json:"ticketIds"`
	}
	if len(bytes.TrimSpace(r.body)) > 0 {
		if refused := v.decode(r, &q); refused != nil {
			return *refused
		}
	}
	if q.Skip < 0 || q.Take < 0 {
		return v.fault(http.StatusBadRequest, "skip and take cannot be negative.")
	}
	found := []*sbTicket{}
	for _, t := range v.desk.tickets {
		switch {
		case q.CategoryID != nil && (t.Category == nil || t.Category.ID != *q.CategoryID),
			q.From != nil && t.CreationTime.Before(*q.From),
			q.To != nil && t.CreationTime.After(*q.To),
			q.Source != "" && t.Source != q.Source,
			q.Status != "" && t.Status != q.Status,
			len(q.TicketIDs) > 0 && !slices.Contains(q.TicketIDs, t.ID):
			continue
		}
		found = append(found, t)
	}
	// The page's only named order is last_thread_activity_desc.
	slices.SortStableFunc(found, func(a, b *sbTicket) int {
		return cmp.Or(b.LastThreadElementCreationTime.Compare(a.LastThreadElementCreationTime.Time), cmp.Compare(b.ID, a.ID))
	})
	if q.Take == 0 {
		q.Take = sbTakeDefault
	}
	from := min(q.Skip, len(found))
	to := min(from+min(q.Take, sbTakeMost), len(found))
	return enveloped(found[from:to])
}

func (v *socialBoards) createTicket(r request) answer {
	var t struct {
		Title      string   `json:"title"`
		Message    string   `json:"message"`
		Sentiment  string   `json:"sentiment"`
		CategoryID *int     `json:"categoryId"`
		Creator    sbAuthor `json:"creator"`
		Tags       []string `json:"tags"`
		Attached   []struct {
			URL  string `json:"url"`
			Name string `json:"name"`
		} `json:"attachments"`
		CustomFields []sbCustomField `json:"customFields"`
	}
	if refused := v.decode(r, &t); refused != nil {
		return *refused
	}
	if t.Title == "" || t.Message == "" {
		return v.fault(http.StatusBadRequest, "title and message are required.")
	}
	var category *sbCategory
	if t.CategoryID != nil {
		if category = v.desk.category(*t.CategoryID); category == nil {
			return v.fault(http.StatusBadRequest, "The category does not exist.")
		}
	}
	var attachments []sbAttachment
	for _, a := range t.Attached {
		attachments = append(attachments, sbAttachment{Name: a.Name, URL: a.URL})
	}
	ticket := v.desk.open(time.Now(), &sbTicket{
		Title: t.Title, Message: t.Message, Category: category, Author: t.Creator,
		Sentiment: cmp.Or(t.Sentiment, "neutral"),
		Tags:      t.Tags, Attachments: attachments, CustomFields: t.CustomFields,
	})
	return enveloped(ticket.ID)
}

// onTicket runs serve on the ticket of the path.
func (v *socialBoards) onTicket(r request, serve func(*sbTicket) answer) answer {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err == nil {
		if t := v.desk.ticket(id); t != nil {
			return serve(t)
		}
	}
	return v.fault(http.StatusNotFound, "The ticket does not exist.")
}

func (v *socialBoards) readTicket(r request) answer {
	return v.onTicket(r, func(t *sbTicket) answer { return enveloped(t) })
}

// updateCategory: null, {} and no body at all remove the category, says the page
// "Update ticket category". A client that replays it with a drained body deletes.
func (v *socialBoards) updateCategory(r request) answer {
	return v.onTicket(r, func(t *sbTicket) answer {
		var wanted struct {
			ID *int `json:"id"`
		}
		if len(bytes.TrimSpace(r.body)) > 0 {
			if refused := v.decode(r, &wanted); refused != nil {
				return *refused
			}
		}
		var category *sbCategory
		if wanted.ID != nil {
			if category = v.desk.category(*wanted.ID); category == nil {
				return v.fault(http.StatusNotFound, "The category does not exist.")
			}
		}
		t.Category = category
		return enveloped(struct{}{})
	})
}

func (v *socialBoards) createReply(r request) answer {
	return v.onTicket(r, func(t *sbTicket) answer {
		var said struct {
			Message string `json:"message"`
			Author  struct {
				Email string `json:"email"`
			} `json:"author"`
			IsDraft          bool `json:"isDraft"`
			ParentReplyID    *int `json:"parentReplyId"`
			CompletionNeeded bool `json:"isTicketNeededToBeCompleted"`
		}
		if refused := v.decode(r, &said); refused != nil {
			return *refused
		}
		if said.Message == "" {
			return v.fault(http.StatusBadRequest, "message is required.")
		}
		reply := sbReply{
			TicketID: t.ID, ParentReplyID: said.ParentReplyID, Message: said.Message,
			HTMLMessage:  "<p>" + said.Message + "</p>",
			Author:       sbAuthor{Email: said.Author.Email, Status: "client"},
			CCEmails:     []string{},
			ToEmails:     []string{t.Author.Email},
			CreationTime: sbTime{time.Now()},
			Properties:   sbReplyProperties{IsDraft: said.IsDraft},
			Attachments:  []sbAttachment{},
		}
		for i, mate := range v.desk.teammates {
			if mate.Email == said.Author.Email {
				reply.Author.ID, reply.Author.Name, reply.Author.Status = i+1, mate.Name, "team"
				reply.Properties.IsByTeam = true
			}
		}
		if said.ParentReplyID != nil {
			reply.Level = 1
		}
		v.desk.lastReply++
		reply.ID = v.desk.lastReply
		t.ReplyCount++
		t.LastThreadElementCreationTime = reply.CreationTime
		if said.CompletionNeeded {
			t.Status = "completed"
		}
		return enveloped(reply)
	})
}

func (v *socialBoards) listTeammates(r request) answer {
	group := r.URL.Query().Get("group")
	found := []sbTeammate{}
	for _, mate := range v.desk.teammates {
		if group == "" || mate.group == group {
			found = append(found, mate)
		}
	}
	return enveloped(found)
}

func (v *socialBoards) listCategories(request) answer { return enveloped(v.desk.categories) }

func (v *socialBoards) routes() []route { return v.table }
