package inbound

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTLSFilesOnAHungDisk tests that a disk which does not answer holds up a handshake for a second
// at most, and only once; and that the files are used when they have arrived.
func TestTLSFilesOnAHungDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "ours")
		cert, key := ca.issue(t, 1, "")
		f := newTLSFixture(t, cert, key, ca.pem())
		handshake := func(wait time.Duration, serial int64) {
			t.Helper()
			began := time.Now()
			config, err := f.files.Config().GetConfigForClient(nil)
			if err != nil {
				t.Error(err)
				return
			}
			got := config.Certificates[0].Leaf.SerialNumber.Int64()
			if took := time.Since(began); took != wait || got != serial {
				t.Errorf("certificate %d after %s, want %d after %s", got, took, serial, wait)
			}
		}
		handshake(0, 1)
		answer := make(chan struct{})
		reads := 0
		f.files.readFile = func(path string) ([]byte, error) {
			reads++
			<-answer
			return os.ReadFile(path)
		}
		cert, key = ca.issue(t, 2, "")
		write(t, f.cert, cert)
		write(t, f.key, key)
		time.Sleep(tlsPoll)
		go handshake(tlsPatience, 1)
		go func() {
			time.Sleep(tlsPatience / 2)
			handshake(tlsPatience/2, 1)
		}()
		handshake(tlsPatience, 1)
		for range 5 {
			handshake(0, 1)
			time.Sleep(tlsPoll)
		}
		time.Sleep(tlsSlow)
		if synctest.Wait(); reads != 1 || len(f.reported) != 1 || !strings.Contains(f.reported[0], "takes long") {
			t.Errorf("%d reads, reported: %q", reads, f.reported)
		}
		close(answer)
		synctest.Wait()
		handshake(0, 2)
	})
}
