package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	slowClients = 1000
	quietTime   = 3 * time.Second
	// maxSlowdown is by how much an attack may multiply an honest app's p99, where
	// that is more than noise, which is what others on two cores make of it: the
	// quiet p99 itself is between 0.7 and 5 ms from one second to the next.
	maxSlowdown = 2
	noise       = 10 * time.Millisecond
	// maxAttackedResident is what a thousand slow clients may make the program take, in
	// bytes.
	maxAttackedResident = 224e6
)

// An attackPlan is one of slowhttptest's ways. Its clients begin within opening,
// which costs what a thousand requests cost anyone, be they honest; then they
// are held. A range request is answered, and nobody is held by it.
type attackPlan struct {
	name, flag, target string
	perSecond          int
	opening, held      time.Duration
}

// TestSlowClients lets slowhttptest hold a thousand connections in each of its
// ways, while an honest app is served as if they were not there.
//
// The machine's own noise is told apart: the same attack is first run against
// another server, which costs what slowhttptest and any server cost, while the
// honest app is served by the program. What it is held to is the worse of that
// and of the quiet before and after, in one second at least of those in which
// all clients are held: what else runs here takes some of them, and a program
// that starves its apps would do so in each.
func TestSlowClients(t *testing.T) {
	if _, err := exec.LookPath("slowhttptest"); err != nil {
		t.Skip("SKIPPED: SLOW CLIENTS ARE NOT TESTED, for there is no slowhttptest (Debian's package of that name)")
	}
	api, otherAPI := startAPI(t), startAPI(t)
	f := startAPIFixture(t, api)
	h := startHonestApp(t, f.address)
	h.startFresh()
	h.during(quietTime) // until the program has the connections and buffers that it keeps
	before := h.during(quietTime)
	for _, plan := range []attackPlan{
		{"headers", "-H", "/small", 500, 3 * time.Second, 3 * time.Second},
		{"body", "-B", "/upload", 500, 3 * time.Second, 3 * time.Second},
		{"read", "-X", "/large", 500, 4 * time.Second, 3 * time.Second},
		{"range", "-R", "/small", 250, 0, 4 * time.Second},
	} {
		t.Run(plan.name, func(t *testing.T) {
			was := f.resourceUsage()
			other := h.attacked(t, plan, otherAPI, func() {})
			begun, requests, most := f.resourceUsage(), f.requests(), 0
			forgetPeak(t, f.cmd.Process.Pid)
			short := false
			under := h.attacked(t, plan, "http://"+f.address, func() {
				most = max(most, f.descriptors())
				short = short || tcpMemoryPressure(t)
			})
			requests = f.requests() - requests - under.answers
			ended := f.resourceUsage()
			f.awaitIdle(t, was)
			after := h.during(quietTime)
			now := f.resourceUsage()

			t.Logf("quiet before:     %v", before)
			t.Logf("another attacked: %v; slowhttptest took %v of CPU", other.held, other.cpu)
			t.Logf("attacked:         %v; slowhttptest took %v, the program %v", under.held, under.cpu, ended.cpu-begun.cpu)
			t.Logf("quiet after:      %v", after)
			t.Logf("%.2f times the quiet p99, %.2f times another's", ratio(under.held.p99, max(before.p99, after.p99)), ratio(under.held.p99, other.held.p99))
			if plan.opening > 0 {
				t.Logf("while they began: %v", under.opening)
				t.Logf("    at another's: %v", other.opening)
			}
			t.Logf("before: %v", was)
			t.Logf("at the attack's end: %v; at most %d descriptors; %d requests were answered", ended, most, requests)
			t.Logf("after:  %v", now)
			bound := max(noise, maxSlowdown*max(before.p99, after.p99, other.held.p99))
			switch {
			case short:
				t.Logf("the p99 of %v is the kernel's, which was short of memory for sockets; otherwise it would be held to %v", under.held.p99, bound)
			case under.held.best > bound:
				t.Errorf("an honest app's p99 was %v at best, want at most %v", under.held.best, bound)
			}
			if now.peak > maxAttackedResident {
				t.Errorf("%.1f MB were resident, want at most %.1f", megabytes(now.peak), megabytes(maxAttackedResident))
			}
			if most < slowClients*9/10 && requests < slowClients*9/10 {
				t.Errorf("%d connections are no attack of %d", max(most, requests), slowClients)
			}
			if failed := h.failures(); len(failed) > 0 {
				t.Fatalf("an honest app was not answered: %q", failed)
			}
			before = after
		})
	}
}

// tcpMemoryPressure reports whether TCP's buffers take more than the kernel likes
// (tcp(7), tcp_mem): it drops what comes in then, whosever it is. Each client
// that takes nothing fills buffers of MBs, on either side of the program.
func tcpMemoryPressure(t *testing.T) bool {
	t.Helper()
	var low, pressure, high int
	scan := func(path string, after string, into ...any) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), after)
		if _, err := fmt.Sscan(rest, into...); err != nil {
			t.Fatalf("reading %s: %v", path, err)
		}
	}
	scan("/proc/sys/net/ipv4/tcp_mem", "", &low, &pressure, &high)
	var pages int
	scan("/proc/net/sockstat", " mem ", &pages) // of TCP, which comes first
	return pages >= pressure
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// requests is how many the program has counted at the API.
func (f *apiFixture) requests() int {
	return int(f.metric(`ticketproxy_request_duration_seconds_count{upstream="own"}`))
}

func (h *honestApp) during(d time.Duration) latency {
	began := time.Now()
	time.Sleep(d)
	return h.between(began, time.Now())
}

// An attack is what an honest app felt of one.
type attack struct {
	opening, held latency
	answers       int           // that it got in all that time
	cpu           time.Duration // of slowhttptest
}

// attacked runs slowhttptest until it has held its clients for that time.
func (h *honestApp) attacked(t *testing.T, plan attackPlan, origin string, meanwhile func()) attack {
	t.Helper()
	seconds := int((plan.opening + plan.held).Seconds())
	cmd := exec.Command("slowhttptest", plan.flag, "-u", origin+plan.target,
		"-c", fmt.Sprint(slowClients), "-r", fmt.Sprint(plan.perSecond), "-l", fmt.Sprint(seconds),
		"-i", "2", "-n", "1", "-w", "512", "-y", "1024", "-p", "3", "-v", "1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began, answers := time.Now(), h.answers()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ended: // its code says how the server fared
			running = false
		case <-ticker.C:
			meanwhile()
		}
	}
	if !bytes.Contains(out.Bytes(), []byte("Test ended")) {
		t.Fatalf("slowhttptest did not attack:\n%s", out.Bytes())
	}
	settled := began.Add(plan.opening)
	return attack{
		opening: h.between(began, settled),
		held:    h.between(settled, settled.Add(plan.held)),
		answers: h.answers() - answers,
		cpu:     cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
	}
}

const (
	nearDescriptors = 64 // idle connections to the API among them
	nearGoroutines  = 128
	nearResident    = 16 << 20
)

// awaitIdle returns once the program has let go of what an attack made it take.
func (f *apiFixture) awaitIdle(t *testing.T, was resourceUsage) {
	t.Helper()
	began := time.Now()
	let := false
	await(t, 30*time.Second, "the program lets go of what an attack made it take", func() bool {
		now := f.resourceUsage()
		if !let && now.descriptors <= was.descriptors+nearDescriptors && now.goroutines <= was.goroutines+nearGoroutines {
			let = true
			t.Logf("descriptors and goroutines were back after %v", time.Since(began).Round(10*time.Millisecond))
		}
		return let && now.resident <= was.resident+nearResident
	})
	t.Logf("memory was back after %v", time.Since(began).Round(10*time.Millisecond))
}
