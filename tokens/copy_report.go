package tokens

import "sync"

// A CopyReport tells once that a store may not write what readers get (Record.Access), and
// tells it again after a copy was written in between. It tells nobody before To is called. The
// zero value is ready. Safe for concurrent use.
type CopyReport struct {
	mu   sync.Mutex
	to   func(err error, exists bool)
	told copyFailure // since the last copy
}

// A copyFailure is what was told of copies that cannot be written.
type copyFailure int

const (
	noCopyFailure    copyFailure = iota
	copyPlaceMissing             // there is no place for copies, so there may be no readers
	copyPlaceClosed              // there is one, and somebody may read there
)

// To has report called after Failed, and with a nil error when a copy was written after that.
// exists says whether there is a place for copies, so that readers are to be expected. report
// returns at once. To is called once.
func (c *CopyReport) To(report func(err error, exists bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = report
}

// Failed notes that a copy may not be written. It is told again if a place for copies exists by
// now.
func (c *CopyReport) Failed(err error, exists bool) {
	failure := copyPlaceMissing
	if exists {
		failure = copyPlaceClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to != nil && failure > c.told {
		c.told = failure
		c.to(err, exists)
	}
}

// Written notes that a copy was written.
func (c *CopyReport) Written() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told != noCopyFailure {
		c.told = noCopyFailure
		c.to(nil, true)
	}
}
