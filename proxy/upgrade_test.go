package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// switched returns the two ends of an upgraded connection. end closes the API's.
func switched(t *testing.T) (app *appConn, api *net.TCPConn, end func()) {
	t.Helper()
	conns, ended := make(chan net.Conn, 1), make(chan bool)
	w := beginRaw(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		conns <- c
		<-ended
	})
	end = func() { close(ended) }
	app = w.dial()
	app.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	is(t, "status", app.receive("GET").StatusCode, http.StatusSwitchingProtocols)
	return app, (<-conns).(*net.TCPConn), end
}

// expect reads text, or the connection's end when text is empty.
func expect(t *testing.T, side string, r io.Reader, text string) {
	t.Helper()
	got := make([]byte, max(len(text), 1))
	n, err := io.ReadFull(r, got)
	if text == "" && err != io.EOF || text != "" && err != nil {
		t.Errorf("%s got %q, %v, want %q", side, got[:n], err, text)
	}
	is(t, side+" got", string(got[:n]), text)
}

// The reason phrase of a 101 could show the token. Those of other answers do not go through.
func TestReasonPhraseOfA101(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, answering("HTTP/1.1 101 "+token(1)+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	is(t, "status", c.receive("GET").Status, "101 Switching Protocols")
}

// A 101 that nobody asked for does not join the app to the API, past all checks.
func TestSwitchThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{"", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n"} {
		w := beginRaw(t, answering("HTTP/1.1 101 Switching Protocols\r\n"+fields+"\r\n"))
		res, _ := w.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		is(t, "status", res.StatusCode, http.StatusBadGateway)
	}
}

// HTTP/1.0 has no interim answers.
func TestInterimAnswersAreNotSentToHTTP10(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	res, body := w.ask("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
	is(t, "status", res.StatusCode, 200)
	is(t, "a header of another answer", res.Header.Get("Link"), "")
	is(t, "answer", body, "ok")
}

// Either side of an upgrade may end before the other does.
func TestUpgradeEndsOneWay(t *testing.T) {
	t.Parallel()
	t.Run("the app ends", func(t *testing.T) {
		t.Parallel()
		app, api, end := switched(t)
		defer end()
		app.Conn.(*net.TCPConn).CloseWrite()
		expect(t, "the API", api, "")
		io.WriteString(api, "the API sends")
		expect(t, "the app", app.r, "the API sends")
	})
	t.Run("the API ends", func(t *testing.T) {
		t.Parallel()
		app, api, end := switched(t)
		defer end()
		api.CloseWrite()
		expect(t, "the app", app.r, "")
		app.send("the app sends")
		expect(t, "the API", api, "the app sends")
	})
	t.Run("the app reads no more", func(t *testing.T) {
		t.Parallel()
		app, api, end := switched(t)
		defer end()
		app.Conn.(*net.TCPConn).CloseRead()
		app.send("the app sends")
		expect(t, "the API", api, "the app sends")
	})
	t.Run("the API reads no more", func(t *testing.T) {
		t.Parallel()
		app, api, end := switched(t)
		defer end()
		api.CloseRead()
		io.WriteString(api, "the API sends")
		expect(t, "the app", app.r, "the API sends")
	})
}

func TestUpgradeEndsWithTheAppOrTheAPI(t *testing.T) {
	t.Parallel()
	t.Run("the app leaves", func(t *testing.T) {
		t.Parallel()
		app, api, end := switched(t)
		defer end()
		app.Close()
		expect(t, "the API", api, "")
	})
	t.Run("the API leaves", func(t *testing.T) {
		t.Parallel()
		app, _, end := switched(t)
		end()
		expect(t, "the app", app.r, "")
	})
}
