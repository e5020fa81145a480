package proxy

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestKeptBodyComesBack checks that what is kept comes back, however it was added and is read.
func TestKeptBodyComesBack(t *testing.T) {
	t.Parallel()
	pool := new(bufferPool)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		all := make([]byte, random.IntN(200<<10))
		for i := range all {
			all[i] = byte(random.Uint32())
		}
		k := keptBody{pool: pool}
		length := []int64{-1, 0, int64(len(all)), 10}[random.IntN(4)]
		for rest := all; len(rest) > 0; {
			n := min(1+random.IntN(40<<10), len(rest))
			k.add(rest[:n], length)
			rest = rest[n:]
		}
		if k.size != len(all) {
			t.Fatalf("%d bytes are kept, want %d", k.size, len(all))
		}
		var got []byte
		part := make([]byte, 1+random.IntN(50<<10))
		for {
			n := k.copyFrom(part, len(got))
			if n == 0 {
				break
			}
			got = append(got, part[:n]...)
		}
		if !bytes.Equal(got, all) {
			t.Fatalf("what is read differs, for %d bytes", len(all))
		}
		if n := k.copyFrom(part, len(all)+1); n != 0 {
			t.Fatalf("%d bytes after the end", n)
		}
		k.forget()
		if k.size != 0 || k.copyFrom(part, 0) != 0 {
			t.Fatal("something is kept")
		}
	}
}
