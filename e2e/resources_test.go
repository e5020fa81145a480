package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// resourceUsage is what a running process uses.
type resourceUsage struct {
	resident, peak int64 // bytes (VmRSS, VmHWM)
	descriptors    int
	goroutines     int
	cpu            time.Duration // since the process started
}

func (v resourceUsage) String() string {
	return fmt.Sprintf("%.1f MB resident, at most %.1f, %d descriptors, %d goroutines, %v of CPU",
		megabytes(v.resident), megabytes(v.peak), v.descriptors, v.goroutines, v.cpu)
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

// resourceUsage reads /proc, and the number of goroutines from /metrics.
func (p *proxy) resourceUsage() resourceUsage {
	p.t.Helper()
	v := resourceUsage{cpu: cpuTime(p.t, p.cmd.Process.Pid)}
	var err error
	if v.resident, v.peak, err = memoryOf(p.cmd.Process.Pid); err != nil {
		p.t.Fatal(err)
	}
	v.descriptors = p.descriptors()
	v.goroutines = int(p.metric("go_goroutines"))
	return v
}

func (p *proxy) descriptors() int {
	p.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(open)
}

// metric returns the value of a metric. The name includes the labels.
func (p *proxy) metric(name string) float64 {
	p.t.Helper()
	res, err := control.Get("http://" + p.admin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var value float64
		if _, err := fmt.Sscanf(lines.Text(), name+" %g", &value); err == nil {
			return value
		}
	}
	p.t.Fatalf("/metrics has no %s", name)
	return 0
}

// memoryOf returns VmRSS and VmHWM of a process.
func memoryOf(pid int) (resident, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			resident = kib << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			peak = kib << 10
		}
	}
	return resident, peak, err
}

// cpuTime returns the user and system CPU time of a process.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the process name may contain spaces
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// forgetPeak resets VmHWM (proc(5), clear_refs). Without the permission, the peak
// is that since the process started.
func forgetPeak(t *testing.T, pid int) {
	t.Helper()
	err := os.WriteFile(filepath.Join("/proc", fmt.Sprint(pid), "clear_refs"), []byte("5"), 0)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		t.Fatal(err)
	}
}
