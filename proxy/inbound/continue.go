package inbound

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// unwantedBodyTimeout is how long an app may take to send a body that it was not
// asked for. It may have begun before it was answered.
const unwantedBodyTimeout = time.Second

// An ExpectedBody is the body of a request with Expect: 100-continue (RFC 9110,
// section 10.1.1). net/http says 100 to the app when the body is first read.
type ExpectedBody struct {
	io.ReadCloser

	mu    sync.Mutex
	stage askStage
}

// An askStage is how far an app has been asked for its body.
type askStage int

const (
	notAsked askStage = iota
	beingAsked
	asked
)

// Read implements io.Reader.
func (b *ExpectedBody) Read(p []byte) (int, error) {
	b.reach(beingAsked)
	defer b.reach(asked)
	return b.ReadCloser.Read(p)
}

func (b *ExpectedBody) reach(stage askStage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stage = max(b.stage, stage)
}

// WriteInterim calls write, which writes an interim answer, unless net/http may be
// writing its own 100 at the same time: the two would mix. An interim answer that
// comes until the app has sent the first of its body is dropped. A nil body has
// no 100.
func (b *ExpectedBody) WriteInterim(write func()) {
	if b == nil {
		write()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stage != beingAsked {
		write()
	}
}

// abandon keeps net/http from waiting long for a body that nobody asked for.
func (b *ExpectedBody) abandon(control *http.ResponseController) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stage == notAsked {
		control.SetReadDeadline(time.Now().Add(unwantedBodyTimeout))
	}
}
