package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy/inbound"
)

// newTestBody returns the replayBody of a request with this body.
func newTestBody(body io.Reader) (*replayBody, *requestState) {
	w := httptest.NewRecorder()
	x := &requestState{
		incoming:  incoming{conn: inbound.ConnOf(context.Background())},
		bodyState: bodyState{budget: NewReplayBudget(), control: *http.NewResponseController(w)},
		header:    w.Header(),
	}
	b := newReplayBody(httptest.NewRequest("POST", "/", io.MultiReader(body)), x)
	x.body = b
	return b, x
}

// A body is kept without limits only while a second sending may follow.
func TestKeptBody(t *testing.T) {
	t.Parallel()
	most := make([]byte, replayLimit)
	for name, test := range map[string]struct {
		prepare func(*replayBody)
		kept    int // of replayLimit bytes and one more
	}{
		"recorded": {func(*replayBody) {}, 0},
		"reserved": {func(b *replayBody) { b.reserve() }, replayLimit + 1},
		"released": {func(b *replayBody) { b.reserve(); b.release() }, 0},
		"released without a reservation": {func(b *replayBody) {
			b.keep(most)
			b.keep(most[:1])
			b.release()
		}, 0},
		"closed": {func(b *replayBody) { b.keep(most); b.close(false) }, 0},
	} {
		b, _ := newTestBody(strings.NewReader("text"))
		b.first()
		test.prepare(b)
		b.keep(most)
		b.keep(most[:1])
		if b.kept.size != test.kept {
			t.Errorf("%s: %d bytes are kept, want %d", name, b.kept.size, test.kept)
		}
		b.close(true)
		if !b.state.budget.TryAcquire(replayBudget) {
			t.Errorf("%s: not all of the budget is given back", name)
		}
	}
}

// A second sending still reads what was kept after the first one is over.
func TestClosedBodyIsKeptForTheSecondSending(t *testing.T) {
	t.Parallel()
	b, _ := newTestBody(strings.NewReader("text"))
	io.ReadAll(b.first())
	b.reserve()
	second := b.rewind()
	b.close(false)
	if got, err := io.ReadAll(second); string(got) != "text" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// slowReader takes a second for each read.
type slowReader struct{ io.Reader }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return r.Reader.Read(p[:min(len(p), inbound.BodyChunk/2)])
}

// An app has BodyChunkTimeout for each BodyChunk bytes.
func TestPatienceBeginsAnewWithEachChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := newTestBody(slowReader{strings.NewReader(strings.Repeat("x", 2*inbound.BodyChunk))})
		for i, want := range []time.Duration{
			inbound.BodyChunkTimeout - time.Second,
			inbound.BodyChunkTimeout,
			inbound.BodyChunkTimeout - time.Second,
			inbound.BodyChunkTimeout,
		} {
			if _, err := b.readLocked(make([]byte, inbound.BodyChunk)); err != nil || b.patience != want {
				t.Errorf("after read %d: %v left, want %v; error %v", i, b.patience, want, err)
			}
		}
	})
}

// A cancelledContext tells when it is first asked.
type cancelledContext struct {
	context.Context
	asked func()
}

func (c cancelledContext) Err() error {
	c.asked()
	return context.Canceled
}

// readerFunc implements io.Reader.
type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }

// The server may cancel a request before the reader of its body knows why. What the
// app is told waits for that reader.
func TestFailureWaitsForTheBodysReader(t *testing.T) {
	t.Parallel()
	reading, asked := make(chan bool), make(chan bool)
	b, x := newTestBody(readerFunc(func() error {
		close(reading)
		<-asked
		return errors.New("malformed chunked encoding")
	}))
	var reader sync.WaitGroup
	reader.Go(func() { io.ReadAll(b.first()) })
	defer reader.Wait()
	<-reading
	u, w := newForwarder(UpstreamConfig{}), httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", nil).WithContext(withState(t.Context(), x))
	u.fail(w, r, io.ErrUnexpectedEOF)
	if w.Code != http.StatusBadGateway {
		t.Errorf("while the request goes on: status %d, want 502", w.Code)
	}
	w = httptest.NewRecorder()
	u.fail(w, r.WithContext(cancelledContext{r.Context(), sync.OnceFunc(func() { close(asked) })}), io.ErrUnexpectedEOF)
	if w.Code != http.StatusBadRequest {
		t.Errorf("cancelled: status %d, want 400", w.Code)
	}
}

// A request may be cancelled before there is a token, and so no body to wait for.
func TestNoBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	var none *replayBody
	none.waitIdle()
}
