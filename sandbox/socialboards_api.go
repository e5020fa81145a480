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

// Both are from the vendor's page "List tickets".
const (
	sbTakeDefault = 25
	sbTakeMost    = 50
)

// decode reads a JSON body, which is required. A non-nil answer is an error to send.
func (v *socialBoards) decode(r request, into any) *answer {
	if !r.hasJSON() {
		a := v.errorAnswer(http.StatusUnsupportedMediaType, "The body is not application/json.")
		return &a
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		a := v.errorAnswer(http.StatusBadRequest, "The body cannot be read.")
		return &a
	}
	return nil
}

// listTickets is a POST that only reads. An empty body requests all tickets.
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
		return v.errorAnswer(http.StatusBadRequest, "skip and take cannot be negative.")
	}
	found := []*sbTicket{}
	for _, t := range v.data.tickets {
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
	// The only documented order is last_thread_activity_desc.
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
		return v.errorAnswer(http.StatusBadRequest, "title and message are required.")
	}
	var category *sbCategory
	if t.CategoryID != nil {
		if category = v.data.category(*t.CategoryID); category == nil {
			return v.errorAnswer(http.StatusBadRequest, "The category does not exist.")
		}
	}
	var attachments []sbAttachment
	for _, a := range t.Attached {
		attachments = append(attachments, sbAttachment{Name: a.Name, URL: a.URL})
	}
	ticket := v.data.open(time.Now(), &sbTicket{
		Title: t.Title, Message: t.Message, Category: category, Author: t.Creator,
		Sentiment: cmp.Or(t.Sentiment, "neutral"),
		Tags:      t.Tags, Attachments: attachments, CustomFields: t.CustomFields,
	})
	return enveloped(ticket.ID)
}

// onTicket calls serve with the ticket that the path names.
func (v *socialBoards) onTicket(r request, serve func(*sbTicket) answer) answer {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err == nil {
		if t := v.data.ticket(id); t != nil {
			return serve(t)
		}
	}
	return v.errorAnswer(http.StatusNotFound, "The ticket does not exist.")
}

func (v *socialBoards) readTicket(r request) answer {
	return v.onTicket(r, func(t *sbTicket) answer { return enveloped(t) })
}

// updateCategory removes the category for null, {} and an empty body (vendor's page
// "Update ticket category"). A replay with a drained body would remove it, too.
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
			if category = v.data.category(*wanted.ID); category == nil {
				return v.errorAnswer(http.StatusNotFound, "The category does not exist.")
			}
		}
		t.Category = category
		return enveloped(struct{}{})
	})
}

func (v *socialBoards) createReply(r request) answer {
	return v.onTicket(r, func(t *sbTicket) answer {
		var sent struct {
			Message string `json:"message"`
			Author  struct {
				Email string `json:"email"`
			} `json:"author"`
			IsDraft          bool `json:"isDraft"`
			ParentReplyID    *int `json:"parentReplyId"`
			CompletionNeeded bool `json:"isTicketNeededToBeCompleted"`
		}
		if refused := v.decode(r, &sent); refused != nil {
			return *refused
		}
		if sent.Message == "" {
			return v.errorAnswer(http.StatusBadRequest, "message is required.")
		}
		reply := sbReply{
			TicketID: t.ID, ParentReplyID: sent.ParentReplyID, Message: sent.Message,
			HTMLMessage:  "<p>" + sent.Message + "</p>",
			Author:       sbAuthor{Email: sent.Author.Email, Status: "client"},
			CCEmails:     []string{},
			ToEmails:     []string{t.Author.Email},
			CreationTime: sbTime{time.Now()},
			Properties:   sbReplyProperties{IsDraft: sent.IsDraft},
			Attachments:  []sbAttachment{},
		}
		for i, mate := range v.data.teammates {
			if mate.Email == sent.Author.Email {
				reply.Author.ID, reply.Author.Name, reply.Author.Status = i+1, mate.Name, "team"
				reply.Properties.IsByTeam = true
			}
		}
		if sent.ParentReplyID != nil {
			reply.Level = 1
		}
		v.data.lastReply++
		reply.ID = v.data.lastReply
		t.ReplyCount++
		t.LastThreadElementCreationTime = reply.CreationTime
		if sent.CompletionNeeded {
			t.Status = "completed"
		}
		return enveloped(reply)
	})
}

func (v *socialBoards) listTeammates(r request) answer {
	group := r.URL.Query().Get("group")
	found := []sbTeammate{}
	for _, mate := range v.data.teammates {
		if group == "" || mate.group == group {
			found = append(found, mate)
		}
	}
	return enveloped(found)
}

func (v *socialBoards) listCategories(request) answer { return enveloped(v.data.categories) }

func (v *socialBoards) routes() []route { return v.table }
