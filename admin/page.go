package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"
)

const style = `
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color-scheme: light dark }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top; border-bottom: 1px solid #8884 }
.bad { color: #c22; font-weight: 600 }
.note { padding-left: 1rem }
`

// page shows the status to a person. It has no script, loads nothing, and may
// not be framed; it reloads itself.
func (a *admin) page(w http.ResponseWriter, _ *http.Request) {
	sum := sha256.Sum256([]byte(style))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "+
		"style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	h.Set("Cache-Control", "no-store")
	h.Set("Refresh", "10")
	w.Write([]byte(a.snapshot().page(time.Now())))
}

func (s Status) page(now time.Time) string {
	var b strings.Builder
	row := func(cells ...string) {
		b.WriteString("<tr>")
		for _, c := range cells {
			b.WriteString("<td>" + html.EscapeString(c) + "</td>")
		}
		b.WriteString("</tr>\n")
	}
	note := func(columns int, class, text string) {
		fmt.Fprintf(&b, "<tr><td colspan=%d class=\"note %s\">%s</td></tr>\n", columns, class, html.EscapeString(text))
	}
	b.WriteString(
		"<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>ticketproxy</title><style>" + style + "</style>\n",
	)
	ready := "ready"
	switch {
	case s.Draining:
		ready = "draining"
	case !s.Ready:
		ready = "<span class=bad>not ready</span>"
	}
	fmt.Fprintf(&b, "<h1>ticketproxy %s: %s</h1>\n", html.EscapeString(s.Version), ready)
	for _, warning := range s.Warnings {
		fmt.Fprintf(&b, "<p class=bad>%s</p>\n", html.EscapeString(warning))
	}
	b.WriteString(
		"<h2>Accounts</h2>\n<table><tr><th>account<th>state<th>generation<th>token expires<th>refresh token " +
			"expires<th>next refresh</tr>\n",
	)
	for _, c := range s.Accounts {
		row(
			c.Account,
			c.State,
			fmt.Sprint(c.Generation),
			Until(now, c.Expiry),
			Until(now, c.RefreshExpiry),
			Until(now, c.NextRefresh),
		)
		if c.Error != "" {
			note(6, "bad", c.Error)
		}
		if c.Hint != "" {
			note(6, "", c.Hint)
		}
		for _, warning := range c.Warnings {
			note(6, "bad", warning)
		}
	}
	b.WriteString(
		"</table>\n<h2>Upstreams</h2>\n<table><tr><th>upstream<th>listener<th>host<th>prefix<th>API<th>account</tr>\n",
	)
	for _, u := range s.Upstreams {
		row(u.Name, u.Listen, u.Host, u.Prefix, u.URL, u.Account)
	}
	b.WriteString("</table>\n<p><a href=/status>status as JSON</a>, <a href=/metrics>metrics</a></html>\n")
	return b.String()
}

// Until says how far off a time is.
func Until(now, t time.Time) string {
	switch d := t.Sub(now).Round(time.Second); {
	case t.IsZero():
		return "-"
	case d < 0:
		return fmt.Sprintf("%v ago", -d)
	case d > 48*time.Hour:
		return fmt.Sprintf("in %d days", int(d.Hours()/24))
	default:
		return fmt.Sprintf("in %v", d)
	}
}
