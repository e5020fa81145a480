package tokens

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"ticketproxy/secret"
)

// A Record is all that is known of one account; it is what a Store keeps,
// whole, in one write. Records are values: a change is made to a copy.
type Record struct {
	// Generation counts the rotations of the account, over all its lines of
	// descent: it never falls. 0 is a seed that was never redeemed.
	Generation uint64
	Grant      Grant
	// Recipient is the age recipient to which the tokens in the store are encrypted; ""
	// when they are in clear. Stores keep it and know nothing of it: package sealed
	// encrypts and decrypts (tokens/store/sealed).
	Recipient string
	// Seed is the SHA-256 of the seed that this line descends from, in
	// hexadecimal; empty when the line began with a login.
	Seed string
	// Spent lists the Seeds of earlier lines that a rotation has used up, so
	// that a replica which still has one of them does not take it for new.
	Spent []string
	// Intent is a refresh that was begun; nil when none is.
	Intent *Intent
	// Lost counts the token requests for this generation that got no answer, or
	// none that could be read.
	Lost int
	// LostAt is when the last request failed that may have spent the refresh
	// token: one of those, or one that was answered with 5xx.
	LostAt time.Time
	// Failures counts the token requests for this generation that could not be
	// sent or were answered with 5xx. RetryAt is when the issuer may be asked
	// again after the last of them. It paces all processes while apps ask.
	Failures int
	RetryAt  time.Time
	// Reason says why the last token request for this generation failed, in words that
	// apps may see; "" when none did.
	Reason string
	// NotBefore is when the issuer may be asked again, after it asked to be left
	// alone. It binds every replica.
	NotBefore time.Time
	// RefusalPause is how old the access token must be, since Grant.Obtained, before
	// its refusal by the API causes a refresh. It grows while the API refuses fresh
	// tokens, so that no API can make all replicas together refresh without end.
	RefusalPause time.Duration
	// Dead says why only a person can help; nil while the account lives.
	Dead *Death
}

// A Grant is what an issuer gave (RFC 6749, section 5.1).
type Grant struct {
	AccessToken  secret.String
	RefreshToken secret.String
	// Fallback is the refresh token before RefreshToken, kept until the new one has
	// worked: where it is not documented whether the old one dies, and after a new seed.
	Fallback secret.String
	// Obtained is when the request for this grant was begun.
	Obtained time.Time
	// Expiry ends the access token; zero when the issuer did not say.
	Expiry time.Time
	// RefreshExpiry ends the refresh token; zero when it is not known.
	RefreshExpiry time.Time
	// Renewed is when RefreshExpiry was last put off; zero when that was at
	// Obtained. Not every refresh does it.
	Renewed time.Time
}

// An Intent announces that its holder is about to spend the record's refresh
// token. Writing it is the lock of the refresh protocol.
type Intent struct {
	ID     string    `json:"id"`     // unique to this attempt
	Holder string    `json:"holder"` // the process, as its store knows it
	Start  time.Time `json:"start"`
	Try    int       `json:"try"` // 1 for a generation's first attempt
}

// A Death is the reason why an account can no longer refresh.
type Death struct {
	Reason string    `json:"reason"` // for people; holds no secret
	At     time.Time `json:"at"`
}

// Lifetime is how long the access token was to live; 0 when not known, and
// negative in a record that makes no sense.
func (g Grant) Lifetime() time.Duration {
	if g.Expiry.IsZero() {
		return 0
	}
	return g.Expiry.Sub(g.Obtained)
}

// renewed is when RefreshExpiry was last put off.
func (g Grant) renewed() time.Time {
	if g.Renewed.IsZero() || g.Renewed.After(g.Obtained) { // no later grant could have done it
		return g.Obtained
	}
	return g.Renewed
}

// Same reports whether both grants hold the same pair of tokens.
func (g Grant) Same(h Grant) bool {
	return g.AccessToken.Equal(h.AccessToken) && g.RefreshToken.Equal(h.RefreshToken)
}

// wire is a Record as it is stored, the only form that shows its secrets.
type wire struct {
	Format        int       `json:"format"`
	Generation    uint64    `json:"generation"`
	Recipient     string    `json:"recipient,omitempty"`
	AccessToken   string    `json:"access_token,omitempty"`
	RefreshToken  string    `json:"refresh_token,omitempty"`
	Fallback      string    `json:"fallback_refresh_token,omitempty"`
	Obtained      time.Time `json:"obtained,omitzero"`
	Expiry        time.Time `json:"expiry,omitzero"`
	RefreshExpiry time.Time `json:"refresh_expiry,omitzero"`
	Renewed       time.Time `json:"refresh_renewed,omitzero"`
	Seed          string    `json:"seed_sha256,omitempty"`
	Spent         []string  `json:"spent_seeds_sha256,omitempty"`
	Intent        *Intent   `json:"intent,omitempty"`
	Lost          int       `json:"lost_attempts,omitempty"`
	LostAt        time.Time `json:"lost_at,omitzero"`
	Failures      int       `json:"failures,omitempty"`
	RetryAt       time.Time `json:"retry_at,omitzero"`
	Reason        string    `json:"reason,omitempty"`
	NotBefore     time.Time `json:"not_before,omitzero"`
	Pause         float64   `json:"refusal_pause_seconds,omitempty"`
	Dead          *Death    `json:"dead,omitempty"`
}

// Versions of the stored form. A program refuses a newer one rather than drop what it
// does not know. A record with encrypted tokens has a version of its own, since a program
// that does not know of encryption would send what it finds as a token.
const (
	formatClear  = 1
	formatSealed = 2
)

// format returns the version of the form in which the record is stored.
func (w wire) format() int {
	if w.Recipient != "" {
		return formatSealed
	}
	return formatClear
}

// maxGeneration is the highest generation that is read. Rotations do not get
// there, so that counting on never wraps, and a store may keep it as a signed
// number.
const maxGeneration = 1<<63 - 1

// Encode returns the record as a store keeps it: JSON, with the tokens as they are in the
// record.
func (r Record) Encode() ([]byte, error) {
	w := wire{
		Generation:    r.Generation,
		Recipient:     r.Recipient,
		AccessToken:   r.Grant.AccessToken.Reveal(),
		RefreshToken:  r.Grant.RefreshToken.Reveal(),
		Fallback:      r.Grant.Fallback.Reveal(),
		Obtained:      r.Grant.Obtained,
		Expiry:        r.Grant.Expiry,
		RefreshExpiry: r.Grant.RefreshExpiry,
		Renewed:       r.Grant.Renewed,
		Seed:          r.Seed,
		Spent:         r.Spent,
		Intent:        r.Intent,
		Lost:          r.Lost,
		LostAt:        r.LostAt,
		Failures:      r.Failures,
		RetryAt:       r.RetryAt,
		Reason:        r.Reason,
		NotBefore:     r.NotBefore,
		Pause:         r.RefusalPause.Seconds(),
		Dead:          r.Dead,
	}
	w.Format = w.format()
	return json.MarshalIndent(w, "", "\t")
}

// Decode reads what Encode wrote. Its errors hold no part of the data, and are
// ErrDamaged unless a newer program may have written it. They are ErrNotOurs, too, when
// nothing in the data shows that Encode wrote it.
func Decode(data []byte) (Record, error) {
	var w wire
	err := json.Unmarshal(data, &w)
	if w.Format > formatSealed {
		return Record{}, fmt.Errorf("decoding record: format %d, this program knows %d", w.Format, formatSealed)
	}
	whole := err == nil && w.Format == w.format() && w.Generation > 0
	if !whole && !isOurs(data) {
		return Record{}, fmt.Errorf("decoding record: %w: %w", ErrDamaged, ErrNotOurs)
	}
	if err != nil || w.Format != w.format() {
		return Record{}, fmt.Errorf("decoding record: %w: not a record of %d bytes", ErrDamaged, len(data))
	}
	if w.Generation > maxGeneration {
		return Record{}, fmt.Errorf("decoding record: %w: generation %d is higher than any rotation reaches",
			ErrDamaged, w.Generation)
	}
	return Record{
		Generation: w.Generation,
		Grant: Grant{
			AccessToken:   secret.New(w.AccessToken),
			RefreshToken:  secret.New(w.RefreshToken),
			Fallback:      secret.New(w.Fallback),
			Obtained:      w.Obtained,
			Expiry:        w.Expiry,
			RefreshExpiry: w.RefreshExpiry,
			Renewed:       w.Renewed,
		},
		Recipient:    w.Recipient,
		Seed:         w.Seed,
		Spent:        w.Spent,
		Intent:       w.Intent,
		Lost:         w.Lost,
		LostAt:       w.LostAt,
		Failures:     w.Failures,
		RetryAt:      w.RetryAt,
		Reason:       w.Reason,
		NotBefore:    w.NotBefore,
		RefusalPause: time.Duration(w.Pause * float64(time.Second)),
		Dead:         w.Dead,
	}, nil
}

// isOurs reports whether data shows that Encode wrote it, perhaps before it was damaged. JSON
// that is whole has a number as its format, and a generation. Other text still begins as
// Encode begins.
func isOurs(data []byte) bool {
	var head struct {
		Format     *float64        `json:"format"`
		Generation json.RawMessage `json:"generation"`
	}
	if json.Valid(data) {
		return json.Unmarshal(data, &head) == nil && head.Format != nil && head.Generation != nil
	}
	return regexp.MustCompile(`^\s*\{\s*"format"\s*:\s*[0-9]`).Match(data)
}
