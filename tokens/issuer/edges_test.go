package issuer_test

import (
	"strings"
	"testing"

	"ticketproxy/tokens"
)

// TestLargestAnswer checks an answer of the largest size, and one byte more.
func TestLargestAnswer(t *testing.T) {
	t.Parallel()
	const text = `{"access_token":"a"}`
	for size, taken := range map[int]bool{1 << 20: true, 1<<20 + 1: false} {
		body := strings.Repeat(" ", size-len(text)) + text
		if _, err := refresh(t, lookup(t, "generic"), answering(200, nil, body)); taken != (err == nil) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// The last character that a token may have is the tilde (RFC 6749, appendix A).
func TestTokenWithATilde(t *testing.T) {
	t.Parallel()
	g, err := refresh(t, lookup(t, "generic"), answering(200, nil, `{"access_token":"a~"}`))
	if err != nil || g.AccessToken.Reveal() != "a~" {
		t.Errorf("%q, %v", g.AccessToken.Reveal(), err)
	}
}

// Only 2xx is a success, whatever the body holds.
func TestGrantWithAStatusThatIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, status := range []int{300, 199} {
		g, err := refresh(t, lookup(t, "generic"), answering(status, nil, `{"access_token":"a"}`))
		if failure(t, err); !g.AccessToken.IsZero() {
			t.Errorf("%d: the grant is taken", status)
		}
	}
}

// A success without a grant says what is missing, or which error it holds.
func TestSuccessWithoutAGrant(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                        "answer has no access token",
		`{"error":"invalid_scope"}`: "issuer answered 200 invalid_scope",
	} {
		_, err := refresh(t, lookup(t, "generic"), answering(200, nil, body))
		if e := failure(t, err); e.Class != tokens.Ambiguous || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
