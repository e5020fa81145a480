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

// fakeJWT returns a JWT with a random signature of size bytes. Clients can read it;
// only the token store knows whether it is valid.
func fakeJWT(header, claims any, size int) string {
	return base64URL(mustJSON(header)) + "." + base64URL(mustJSON(claims)) + "." + base64URL(randomBytes(size))
}

// base64Token returns 44 characters of standard base64, as in SocialBoards' sample.
// Each has a + and a /, so a client that forgets to percent-encode its form always
// fails, and not only sometimes.
func base64Token() string {
	for {
		t := base64.StdEncoding.EncodeToString(randomBytes(32))
		if strings.Contains(t, "+") && strings.Contains(t, "/") {
			return t
		}
	}
}

// defuseToken returns a token in the format of an encrypted league/oauth2-server
// refresh token: hex with the version header of defuse/php-encryption. Inferred; the
// vendor's starter project stores it in a column of 1023 characters.
func defuseToken() string { return "def50200" + hex.EncodeToString(randomBytes(340)) }

// hexTwiceToken returns 86 characters that decode to the 64 of a hex SHA-256. Both
// of Ticketpark's samples begin so, and friendsofsymfony/oauth2-php makes such tokens.
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

// mustJSON encodes a value of this package, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("encoding token part: %w", err))
	}
	return b
}
