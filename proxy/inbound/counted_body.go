package inbound

import "io"

// A CountedBody counts the bytes of a body that are read. It is read by one goroutine.
type CountedBody struct {
	io.ReadCloser
	Count int64
}

// Read implements io.Reader.
func (b *CountedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.Count += int64(n)
	return n, err
}
