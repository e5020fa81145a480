package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
)

// coreOf returns what a process has in its readable memory, as a core would. Only root may
// read that of a program that hardens itself.
func coreOf(t *testing.T, pid int) string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	var all strings.Builder
	for line := range strings.Lines(string(maps)) {
		var begin, end uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &begin, &end, &mode); err != nil {
			t.Fatal(err)
		}
		if mode[0] != 'r' || strings.Contains(line, "[v") { // the kernel's
			continue
		}
		part := make([]byte, end-begin)
		n, err := memory.ReadAt(part, int64(begin))
		if n == 0 && mode[1] == 'w' {
			t.Logf("%s cannot be read: %v", strings.TrimSpace(line), err)
		}
		all.Write(part[:n])
	}
	return all.String()
}

// formsOf returns a secret in the forms in which it may be held: plain, URL-encoded, in
// hexadecimal, and in base64 at each position in a group of three bytes.
func formsOf(secret string) map[string]string {
	all := map[string]string{
		"plain": secret, "URL-encoded": url.QueryEscape(secret), "hexadecimal": hex.EncodeToString([]byte(secret)),
	}
	for offset := range 3 {
		// Without the characters that depend on what is around the secret.
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + secret))
		text = text[(offset*8+5)/6 : len(text)-2]
		all[fmt.Sprint("base64 at ", offset)] = text
		all[fmt.Sprint("base64url at ", offset)] = strings.NewReplacer("+", "-", "/", "_").Replace(text)
	}
	return all
}

// found returns the forms of the secrets that the memory has.
func found(memory string, secrets map[string]bool) []string {
	var all []string
	for secret := range secrets {
		for form, text := range formsOf(secret) {
			if strings.Contains(memory, text) {
				all = append(all, form+" "+secret[:min(6, len(secret))]+"…")
			}
		}
	}
	return all
}
