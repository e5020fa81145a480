package tokens_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// TestAccess tests that nothing of a record but what readers may know is in its access copy.
func TestAccess(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rec := tokens.Record{
		Generation: 7,
		Grant: tokens.Grant{
			AccessToken: secret.New("access"), RefreshToken: secret.New("canary-a"), Fallback: secret.New("canary-b"),
			Obtained: now, Expiry: now.Add(time.Hour), RefreshExpiry: now.Add(time.Hour), Renewed: now,
		},
		Seed: "canary-c", Spent: []string{"canary-d"}, Intent: &tokens.Intent{ID: "canary-e", Holder: "canary-f"},
		Lost: 1, LostAt: now, Failures: 1, RetryAt: now, Reason: "canary-g", NotBefore: now, RefusalPause: time.Second,
		Dead: &tokens.Death{Reason: "expired", At: now},
	}
	data, err := rec.Access().Encode()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	keys := strings.Join(slices.Sorted(maps.Keys(members)), " ")
	if strings.Contains(string(data), "canary") || keys != "access_token dead expiry format generation obtained" {
		t.Errorf("the copy has more than it should:\n%s", data)
	}
	copied, err := tokens.Decode(data)
	if err != nil || !copied.SameAccess(rec) || !copied.Grant.AccessToken.Equal(rec.Grant.AccessToken) || copied.Generation != 7 {
		t.Errorf("the copy %+v, %v", copied, err)
	}
	for _, change := range []func(*tokens.Record){
		func(r *tokens.Record) { r.Generation++ },
		func(r *tokens.Record) { r.Grant.AccessToken = secret.String{} },
		func(r *tokens.Record) { r.Grant.Expiry = now },
		func(r *tokens.Record) { r.Grant.Obtained = now.Add(1) },
		func(r *tokens.Record) { r.Dead = nil },
		func(r *tokens.Record) { r.Dead = &tokens.Death{Reason: "other"} },
	} {
		other := rec
		change(&other)
		if other.SameAccess(rec) {
			t.Errorf("the same to a reader: %+v", other)
		}
	}
}
