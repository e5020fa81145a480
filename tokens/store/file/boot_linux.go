package file

import (
	"os"
	"strings"
)

// bootID names the present boot of this kernel; empty when it cannot be told.
// See random(4).
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
