package file

import (
	"os"
	"strings"
)

// bootID identifies the current boot of this kernel. It is empty when it is unknown. See
// random(4).
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
