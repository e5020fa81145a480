// Command zitadel is the example server of github.com/zitadel/oidc with one client, one
// user, and access tokens that live as long as a flag says. The example's own program has
// five minutes, and takes no client from outside.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	listen := flag.String("listen", "", "loopback address, host:port")
	issuer := flag.String("issuer", "", "its URL as clients see it")
	client := flag.String("client", "", "client id")
	secret := flag.String("secret", "", "client secret, only for tests")
	redirect := flag.String("redirect", "", "the client's redirect URI")
	users := flag.String("users", "", "JSON file of the example's users by id")
	lifetime := flag.Duration("lifetime", time.Minute, "how long an access token lives")
	flag.Parse()

	known, err := storage.StoreFromFile(*users)
	if err != nil {
		log.Fatal(err)
	}
	storage.RegisterClients(storage.WebClient(*client, *secret, *redirect))
	store := &shortStorage{Storage: storage.NewStorage(known), lifetime: *lifetime, expiries: map[string]time.Time{}}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	log.Fatal(http.ListenAndServe(*listen, exampleop.SetupServer(*issuer, store, logger, false)))
}

// A shortStorage is the example's storage, with another lifetime of access tokens.
type shortStorage struct {
	*storage.Storage
	lifetime time.Duration

	mu       sync.Mutex
	expiries map[string]time.Time // by the access token's id
}

func (s *shortStorage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	id, _, err := s.Storage.CreateAccessToken(ctx, r)
	return id, s.expire(id), err
}

func (s *shortStorage) CreateAccessAndRefreshTokens(
	ctx context.Context, r op.TokenRequest, current string,
) (id, refreshToken string, expiry time.Time, err error) {
	id, refreshToken, _, err = s.Storage.CreateAccessAndRefreshTokens(ctx, r, current)
	return id, refreshToken, s.expire(id), err
}

func (s *shortStorage) SetIntrospectionFromToken(
	ctx context.Context, answer *oidc.IntrospectionResponse, id, subject, client string,
) error {
	s.mu.Lock()
	expiry := s.expiries[id]
	s.mu.Unlock()
	if !time.Now().Before(expiry) {
		return errors.New("token is expired")
	}
	err := s.Storage.SetIntrospectionFromToken(ctx, answer, id, subject, client)
	answer.Expiration = oidc.FromTime(expiry)
	return err
}

// expire has an access token that was just made expire after the lifetime.
func (s *shortStorage) expire(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiries[id] = time.Now().Add(s.lifetime)
	return s.expiries[id]
}
