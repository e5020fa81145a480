package proxy

const (
	firstBlock = 4 << 10        // bytes; most bodies are shorter
	laterBlock = copyBufferSize // bytes; of the buffers of copies
)

// A keptBody is what is kept of a body, in blocks: one slice would be allocated and copied again
// while it grows. The later blocks come from a pool.
type keptBody struct {
	blocks [][]byte
	space  [1][]byte // for blocks, while there is one
	size   int
	pool   *bufferPool // nil allocates each block
}

// add keeps a copy of p. The length is the body's, or -1 when it is not known.
func (k *keptBody) add(p []byte, length int64) {
	k.size += len(p)
	for len(p) > 0 {
		last := len(k.blocks) - 1
		if last < 0 || len(k.blocks[last]) == cap(k.blocks[last]) {
			if last < 0 {
				k.blocks = k.space[:0]
			}
			k.blocks = append(k.blocks, k.block(length))
			last++
		}
		block := k.blocks[last]
		n := copy(block[len(block):cap(block)], p)
		k.blocks[last], p = block[:len(block)+n], p[n:]
	}
}

func (k *keptBody) block(length int64) []byte {
	switch {
	case len(k.blocks) > 0 && k.pool != nil:
		return k.pool.Get()[:0]
	case len(k.blocks) > 0:
		return make([]byte, 0, laterBlock)
	case 0 < length && length < firstBlock:
		return make([]byte, 0, length)
	}
	return make([]byte, 0, firstBlock)
}

// copyFrom copies bytes from an offset on, and returns how many.
func (k *keptBody) copyFrom(p []byte, offset int) int {
	total := 0
	for _, block := range k.blocks {
		if offset >= len(block) {
			offset -= len(block)
			continue
		}
		n := copy(p[total:], block[offset:])
		if total += n; total == len(p) {
			break
		}
		offset = 0
	}
	return total
}

// forget gives the blocks back. Nobody may read them any more.
func (k *keptBody) forget() {
	for i, block := range k.blocks {
		if i > 0 && k.pool != nil {
			k.pool.Put(block[:cap(block)])
		}
	}
	k.blocks, k.space, k.size = nil, [1][]byte{}, 0
}
