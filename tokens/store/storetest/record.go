package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// Record returns a small record that is unique to the generation.
func Record(generation uint64) tokens.Record {
	return tokens.Record{
		Generation: generation,
		Grant: tokens.Grant{
			AccessToken:  secret.New(fmt.Sprintf("access-%d", generation)),
			RefreshToken: secret.New(fmt.Sprintf("refresh-%d", generation)),
		},
	}
}

// Identity is the age identity of FullRecord's Recipient.
const Identity = "AGE-SECRET-KEY-" + "1EXKVR5X6ZLJFNQHA8ZZ4LLJD89694XP788P5DU3XZVGUS5RKF64Q6RZJ5L"

// FullRecord returns a record with no field empty.
func FullRecord() tokens.Record {
	at := time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)
	return tokens.Record{
		Generation: 1<<63 - 1,
		Grant: tokens.Grant{
			AccessToken:   secret.New("access +/=~\"\\<>& é"),
			RefreshToken:  secret.New("refresh\u2028\x00\t"),
			Fallback:      secret.New("fallback"),
			Obtained:      at,
			Expiry:        at.Add(time.Hour),
			RefreshExpiry: at.AddDate(10, 0, 0),
			Renewed:       at.AddDate(0, -1, 0),
		},
		Recipient:    "age1km657wkmye9ukypv24y5a3uuk33yn50g6f86maskw0365ejmn3ksc6h77f",
		Seed:         secret.New("seed").Hash(),
		Spent:        []string{secret.New("seed 1").Hash(), secret.New("seed 2").Hash()},
		Intent:       &tokens.Intent{ID: "intent", Holder: "holder", Start: at.Add(time.Nanosecond), Try: 3},
		Lost:         2,
		LostAt:       at.Add(time.Minute),
		Failures:     3,
		RetryAt:      at.Add(62 * time.Second),
		Reason:       "the issuer answered 503",
		NotBefore:    at.Add(2 * time.Minute),
		RefusalPause: 90 * time.Second,
		Dead:         &tokens.Death{Reason: "answer lost", At: at.Add(3 * time.Minute)},
	}
}

// requireFull fails the test for an empty field.
func requireFull(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.IsZero() {
		t.Fatalf("%s is empty: fill it in FullRecord", path)
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v.Type().PkgPath() != reflect.TypeFor[tokens.Record]().PkgPath() {
		return
	}
	for i := range v.NumField() {
		requireFull(t, path+"."+v.Type().Field(i).Name, v.Field(i))
	}
}

// Encode returns the encoded record.
func Encode(t *testing.T, r tokens.Record) []byte {
	t.Helper()
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
