package e2e

import (
	"encoding/json"
	"flag"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
)

var gigabytes = flag.Float64("gigabytes", 1, "size of a body of TestLargeBodies, in GiB")

// maxResident is the most resident memory, in bytes, for a body of any size.
const maxResident = 40e6

// TestLargeBodies sends a body of many GiB each way, with Content-Length and
// chunked. Every byte must arrive, and the program must not buffer the body.
func TestLargeBodies(t *testing.T) {
	size := int64(*gigabytes * (1 << 30))
	for _, scenario := range []struct {
		name     string
		transfer func(f *apiFixture, t *testing.T, length int64)
		length   int64 // -1 means chunked
	}{
		{"upload with its length", (*apiFixture).upload, size},
		{"upload in chunks", (*apiFixture).upload, -1},
		{"download with its length", (*apiFixture).download, size},
		{"download in chunks", (*apiFixture).download, -1},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			f := startAPIFixture(t, serveAPI(t, patternAPI(size)))
			f.client.Timeout = 0
			was := f.resourceUsage()
			end := f.watchMemory(t)
			began := time.Now()
			scenario.transfer(f, t, scenario.length)
			took := time.Since(began)
			most := end()
			now := f.resourceUsage()
			gib := float64(size) / (1 << 30)
			t.Logf("%.2f GiB in %v, %.0f MB/s; %v of CPU per GiB", gib, took.Round(time.Millisecond),
				megabytes(size)/took.Seconds(), time.Duration(float64(now.cpu-was.cpu)/gib).Round(time.Millisecond))
			t.Logf("%.1f MB resident before, at most %.1f in %d samples, VmHWM %.1f",
				megabytes(was.resident), megabytes(most.resident), most.count, megabytes(now.peak))
			if now.peak > maxResident {
				t.Errorf("%.1f MB were resident, want at most %.1f", megabytes(now.peak), megabytes(maxResident))
			}
		})
	}
}

// A sum is the length of a body and its checksum.
type sum struct {
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *sum) Write(b []byte) (int, error) {
	s.Bytes += int64(len(b))
	s.CRC = crc32.Update(s.CRC, castagnoli, b)
	return len(b), nil
}

// A pattern is a reader of a repeating sequence of bytes. The period is a prime, so
// that a lost, repeated or moved block changes the checksum.
type pattern struct {
	left, at int64
	sum      sum
}

var period = func() []byte {
	b := make([]byte, 1_048_573)
	x := uint64(88172645463325252)
	for i := range b { // xorshift
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}()

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), p.left)], period[p.at:])
	p.left -= int64(n)
	p.at = (p.at + int64(n)) % int64(len(period))
	p.sum.Write(b[:n])
	return n, nil
}

const blockSize = 256 << 10

// patternAPI answers a PUT with the sum of its body, and any other request with a
// body of that size. A query makes the answer chunked.
func patternAPI(size int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, blockSize)
		if r.Method == http.MethodPut {
			var got sum
			if _, err := io.CopyBuffer(&got, r.Body, block); err != nil {
				panic(http.ErrAbortHandler)
			}
			json.NewEncoder(w).Encode(struct {
				sum
				Length int64 `json:"length"` // Content-Length; -1 when chunked
			}{got, r.ContentLength})
			return
		}
		if r.URL.RawQuery == "" {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		// The wrapper hides w's ReadFrom, which would use its own buffer.
		io.CopyBuffer(struct{ io.Writer }{w}, &pattern{left: size}, block)
	})
}

func (f *apiFixture) upload(t *testing.T, length int64) {
	body := &pattern{left: int64(*gigabytes * (1 << 30))}
	req, err := http.NewRequest(http.MethodPut, "http://"+f.address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	res, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		sum
		Length int64 `json:"length"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatalf("%s: %v", res.Status, err)
	}
	if got.sum != body.sum || got.Length != length {
		t.Errorf("the API got %+v, want %+v, Content-Length %d", got, body.sum, length)
	}
}

func (f *apiFixture) download(t *testing.T, length int64) {
	target := "http://" + f.address + "/"
	if length < 0 {
		target += "?chunked"
	}
	res, err := f.client.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got sum
	if _, err := io.CopyBuffer(&got, res.Body, make([]byte, blockSize)); err != nil {
		t.Fatalf("after %d bytes: %v", got.Bytes, err)
	}
	want := &pattern{left: int64(*gigabytes * (1 << 30))}
	io.CopyBuffer(io.Discard, struct{ io.Reader }{want}, make([]byte, blockSize))
	if res.StatusCode != http.StatusOK || got != want.sum || res.ContentLength != length {
		t.Errorf("the app got %s, %+v, Content-Length %d, want 200, %+v, %d",
			res.Status, got, res.ContentLength, want.sum, length)
	}
}

// memorySamples is the highest of several memory samples.
type memorySamples struct {
	resident int64
	count    int
}

// watchMemory samples the program's memory until end is called.
func (f *apiFixture) watchMemory(t *testing.T) (end func() memorySamples) {
	t.Helper()
	stop, most := make(chan struct{}), make(chan memorySamples)
	pid := f.cmd.Process.Pid
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		var seen memorySamples
		for {
			select {
			case <-stop:
				most <- seen
				return
			case <-ticker.C:
			}
			if resident, _, err := memoryOf(pid); err == nil {
				seen.resident = max(seen.resident, resident)
				seen.count++
			}
		}
	}()
	return func() memorySamples {
		close(stop)
		return <-most
	}
}
