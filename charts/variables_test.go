package charts

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestChartSetsEveryVariable tests that the chart has a value for every variable of the
// program's help, except those that are listed here with the reason.
func TestChartSetsEveryVariable(t *testing.T) {
	t.Parallel()
	help, err := exec.CommandContext(t.Context(), program(t, "TICKETPROXY"), "help", "env").Output()
	if err != nil {
		t.Fatal(err)
	}
	var template []byte
	for _, file := range []string{"_pod.tpl", "_callers.tpl"} {
		text, err := os.ReadFile("ticketproxy/templates/" + file)
		if err != nil {
			t.Fatal(err)
		}
		template = append(template, text...)
	}
	notInTheChart := []string{
		"SOCKET_MODE",     // the gateway has no Unix sockets
		"STATE_RECIPIENT", // for a login elsewhere; the gateway has the identity
	}
	upstream, program, _ := strings.Cut(string(help), "\nThe whole program:\n")
	variables := 0
	for _, list := range []string{upstream, program} {
		for line := range strings.Lines(list) {
			name, ok := strings.CutPrefix(line, "  TICKETPROXY_")
			if !ok {
				continue
			}
			name, _, _ = strings.Cut(strings.TrimSpace(name), ",")
			variables++
			if slices.Contains(notInTheChart, name) || name == "ADMIN_QUIT" { // the kubelet stops a Pod
				continue
			}
			set := []string{`"` + name + `" "`, "_" + name + "\n", "_" + name + "_FILE\n"}
			if !slices.ContainsFunc(set, func(s string) bool { return strings.Contains(string(template), s) }) {
				t.Errorf("the chart has no value for %s", name)
			}
		}
	}
	if variables < 20 {
		t.Errorf("help env names %d variables", variables)
	}
}
