package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// apiVariable is set in the child process that serves an API. The API runs apart
// from the process that measures.
const apiVariable = "E2E_API"

// startAPI starts an API until the test ends, and returns its origin.
func startAPI(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), apiVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	origin, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("starting an API: %v", err)
	}
	return strings.TrimSpace(origin)
}

// runAPI serves the API in the child process.
func runAPI() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	server := &http.Server{
		Handler: http.HandlerFunc(smallOrLarge),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			c.(*net.TCPConn).SetWriteBuffer(apiBuffer)
			return ctx
		},
	}
	return server.Serve(l)
}

// apiBuffer is small because a real API's buffers are not on this machine.
const apiBuffer = 64 << 10

// largeAnswer is larger than the socket buffers.
const largeAnswer = 16 << 20

func smallOrLarge(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/large" {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"small":true}`)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(largeAnswer))
	block := make([]byte, 32<<10)
	for sent := 0; sent < largeAnswer; sent += len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}
