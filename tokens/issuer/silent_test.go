package issuer_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// drip writes text a byte a second.
func drip(conn net.Conn, text string) {
	for i := range text {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// TestSilentIssuer checks that the deadline ends every wait, to the second: time is virtual,
// and connections are pipes.
func TestSilentIssuer(t *testing.T) {
	t.Parallel()
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	after := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			if _, err := readRequest(conn); err == nil {
				io.WriteString(conn, text)
				silent(conn)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		scheme  string
		handle  func(net.Conn)
		timeout time.Duration // Client.Timeout
		caller  time.Duration // the caller's own deadline
		took    time.Duration
		class   tokens.Class
		status  int
	}{
		{"no connection", "http", nil, 0, 0, 10 * time.Second, tokens.NotSent, 0},
		{"no handshake", "https", silent, 0, 0, 10 * time.Second, tokens.NotSent, 0},
		{"header unread", "http", func(net.Conn) { time.Sleep(time.Minute) }, 0, 0, 10 * time.Second, tokens.NotSent, 0},
		{"body unread", "http", func(conn net.Conn) {
			for line, rd := "", bufio.NewReader(conn); line != "\r\n"; {
				line, _ = rd.ReadString('\n')
			}
			time.Sleep(time.Minute)
		}, 0, 0, 30 * time.Second, tokens.Ambiguous, 0},
		{"no answer", "http", after(""), 0, 0, 30 * time.Second, tokens.Ambiguous, 0},
		{"no answer, own timeout", "http", after(""), 3 * time.Second, 0, 9 * time.Second, tokens.Ambiguous, 0},
		{"no answer, caller's deadline", "http", after(""), 0, 2 * time.Second, 2 * time.Second, tokens.Ambiguous, 0},
		{"half a header", "http", after("HTTP/1.1 200 OK\r\nContent-"), 0, 0, 30 * time.Second, tokens.Ambiguous, 0},
		{"no body", "http", after(ok + "Content-Length: 9\r\n\r\n"), 0, 0, 30 * time.Second, tokens.Ambiguous, 200},
		{"half a body", "http", after(ok + "Content-Length: 99\r\n\r\n{\"access_token\":"), 0, 0, 30 * time.Second, tokens.Ambiguous, 200},
		{"half an error", "http", after("HTTP/1.1 400 Bad Request\r\n\r\n{\"error\":"), 0, 0, 30 * time.Second, tokens.Ambiguous, 400},
		{"429 without a body", "http", after("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 9\r\n\r\n"), 0, 0, 0, tokens.Throttled, 429},
		{"slow header", "http", func(conn net.Conn) {
			readRequest(conn)
			drip(conn, ok+"\r\n{\"access_token\":\"a\"}")
		}, 0, 0, 30 * time.Second, tokens.Ambiguous, 0},
		{"slow body", "http", func(conn net.Conn) {
			readRequest(conn)
			io.WriteString(conn, ok+"\r\n")
			drip(conn, `{"access_token":"a token that takes long"}`)
		}, 0, 0, 30 * time.Second, tokens.Ambiguous, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dials := 0
				var serving sync.WaitGroup
				c := config(lookup(t, "generic"), tt.scheme+"://issuer.example")
				c.Timeout = tt.timeout
				c.Transport = issuer.Transport(nil, nil, func(ctx context.Context, _, _ string) (net.Conn, error) {
					dials++
					if tt.handle == nil {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					ours, theirs := net.Pipe()
					serving.Go(func() {
						defer theirs.Close()
						tt.handle(theirs)
					})
					return ours, nil
				})
				ctx := t.Context()
				if tt.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				began := time.Now()
				_, err := issuer.New(c).Refresh(ctx, secret.New(refreshToken))
				if took := time.Since(began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				e := failure(t, err)
				if e.Class != tt.class || e.Status != tt.status {
					t.Errorf("got %v %d, want %v %d (%v)", e.Class, e.Status, tt.class, tt.status, err)
				}
				if tt.took > 0 && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v, want a deadline", err)
				}
				serving.Wait()
				synctest.Wait()
				if dials != 1 {
					t.Errorf("%d connections, want 1", dials)
				}
			})
		})
	}
}

// TestWholeObjectThenSilence checks that the deadline does not undo a grant that came.
func TestWholeObjectThenSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(lookup(t, "generic"), "http://issuer.example")
		c.Transport = issuer.Transport(nil, nil, func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				readRequest(theirs)
				io.WriteString(theirs, ok+"Content-Length: 99\r\n\r\n{\"access_token\":\"a\",\"refresh_token\":\"r\",\"expires_in\":60}")
				io.Copy(io.Discard, theirs)
			}()
			return ours, nil
		})
		began := time.Now()
		g, err := issuer.New(c).Refresh(t.Context(), secret.New(refreshToken))
		if err != nil || g.RefreshToken.Reveal() != "r" {
			t.Fatalf("got %q, %v", g.RefreshToken.Reveal(), err)
		}
		if !g.Obtained.Equal(began) || g.Expiry.Sub(began) != time.Minute {
			t.Errorf("obtained %v, expiry %v; asked at %v", g.Obtained, g.Expiry, began)
		}
	})
}
