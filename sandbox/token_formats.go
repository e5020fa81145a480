package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// jwtShaped is header and claims with a random signature of size bytes: clients
// may read it, and only the book can tell whether it is good.
func jwtShaped(header, claims any, size int) string {
	return base64URL(mustJSON(header)) + "." + base64URL(mustJSON(claims)) + "." + base64URL(randomBytes(size))
}

// base64Token is 44 characters of standard base64, as in SocialBoards' sample.
// Each has a + and a /, so that a client which forgets to percent-encode its form
// fails every time and not once in a while.
func base64Token() string {
	for {
		t := base64.StdEncoding.EncodeToString(randomBytes(32))
		if strings.Contains(t, "+") && strings.Contains(t, "/") {
			return t
		}
	}
}

// defuseToken has the look of an encrypted league/oauth2-server refresh token:
// hex with the version header of defuse/php-encryption. Inferred; the vendor's
// starter keeps it in a column of 1023 characters.
func defuseToken() string { return "def50200" + hex.EncodeToString(randomBytes(340)) }

// hexTwiceToken is 86 characters, which decode to the 64 of a hex SHA-256, as
// both of Ticketpark's samples begin and as friendsofsymfony/oauth2-php makes them.
func hexTwiceToken() string {
	sum := sha256.Sum256(randomBytes(32))
	return base64URL([]byte(hex.EncodeToString(sum[:])))
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented never to fail
	return b
}

// mustJSON is for our own values, which always encode.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("encoding token part: %w", err))
	}
	return b
}
