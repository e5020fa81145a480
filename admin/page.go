package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"

	"ticketproxy/tokens"
)

const style = `
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top; border-bottom: 1px solid #8884 }
.bad { color: light-dark(#b00, #f77); font-weight: 600 }
.note { padding-left: 1rem }
@media (max-width: 50rem) {
  body { margin: 1rem auto }
  thead { display: none }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid #8884 }
  td { display: block; border: 0; padding: .1rem 0 }
  td:empty { display: none }
  td[data-column]::before { content: attr(data-column) ": "; opacity: .7 }
}
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
	head := func(title string, columns []string) {
		fmt.Fprintf(&b, "<h2>%s</h2>\n<table><thead><tr><th>%s</tr></thead>\n", title, strings.Join(columns, "<th>"))
	}
	row := func(columns []string, cells ...string) {
		b.WriteString("<tr>")
		for i, c := range cells {
			fmt.Fprintf(&b, "<td data-column=%q>%s</td>", columns[i], html.EscapeString(c))
		}
		b.WriteString("</tr>\n")
	}
	note := func(class, text string) {
		fmt.Fprintf(&b, "<tr><td colspan=6 class=\"note %s\">%s</td></tr>\n", class, html.EscapeString(text))
	}
	b.WriteString("<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>ticketproxy</title>" +
		"<meta name=viewport content=\"width=device-width\"><style>" + style + "</style>\n")
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
	columns := []string{"account", "state", "generation", "token expires", "refresh token expires", "next refresh"}
	head("Accounts", columns)
	for _, c := range s.Accounts {
		row(columns, c.Account, c.State, fmt.Sprint(c.Generation),
			Until(now, c.Expiry), Until(now, c.RefreshExpiry), Until(now, c.NextRefresh))
		if text := RoleNote(c); text != "" {
			note("", text)
		}
		if c.Error != "" {
			note("bad", c.Error)
		}
		if c.Hint != "" {
			note("", c.Hint)
		}
		for _, warning := range c.Warnings {
			note("bad", warning)
		}
	}
	columns = []string{"upstream", "listener", "host", "prefix", "API", "account"}
	b.WriteString("</table>\n")
	head("Upstreams", columns)
	for _, u := range s.Upstreams {
		row(columns, u.Name, u.Listen, u.Host, u.Prefix, u.URL, u.Account)
	}
	b.WriteString("</table>\n<p><a href=/status>status as JSON</a>, <a href=/metrics>metrics</a></html>\n")
	return b.String()
}

// RoleNote says what an account's role means; "" for a refresher's.
func RoleNote(s tokens.Status) string {
	if s.Role != tokens.RoleReader {
		return ""
	}
	return "role reader: cannot refresh, refreshers do"
}

// Until says how far off a time is, in the largest unit that makes sense; "-" for the
// zero time.
func Until(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := t.Sub(now).Round(time.Second)
	switch text := amount(d.Abs()); {
	case d < 0:
		return text + " ago"
	case d > 0:
		return "in " + text
	}
	return "now"
}

func amount(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
