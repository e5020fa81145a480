package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

const chromium = "chromium"

// open runs a new Chromium, until the test ends, that opens a URL as if a person
// had typed it. Names under .test resolve to this machine and others do not
// resolve, so nothing leaves loopback.
func open(t *testing.T, url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ticketproxy-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	output := &tail{}
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-default-apps", "--disable-extensions", "--disable-breakpad", "--disable-dev-shm-usage",
		"--no-proxy-server", "--disable-popup-blocking",
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding",
		"--disable-backgrounding-occluded-windows", "--autoplay-policy=no-user-gesture-required",
		"--disable-features="+protections,
		"--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, "+
			"EXCLUDE localhost., EXCLUDE *.localhost, EXCLUDE 127.0.0.2, EXCLUDE 0.0.0.0, EXCLUDE ::*",
		"--user-data-dir="+dir, url)
	cmd.Env = append(os.Environ(), "HOME="+dir, "DBUS_SESSION_BUS_ADDRESS=disabled:",
		"XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd.Dir = dir
	cmd.Stderr = output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // kills all processes of the group
		cmd.Wait()
		os.RemoveAll(dir)
		if t.Failed() {
			for line := range strings.Lines(output.String()) {
				if !strings.Contains(line, "dbus/") { // a machine without a desktop has no D-Bus
					t.Log("Chromium: " + strings.TrimSpace(line))
				}
			}
		}
	})
}

// protections are Chromium's own, which would stop attacks before they reach the
// proxy. Other browsers may not have them.
const protections = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests," +
	"PrivateNetworkAccessSendPreflights,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable"
