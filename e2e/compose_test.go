package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/graph"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "../examples/compose.yaml"

// loadCompose loads a Compose file as docker compose does.
func loadCompose(ctx context.Context, file string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{file})
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, err
	}
	return project, graph.CheckCycle(project)
}

// exampleServices returns the services of the example.
func exampleServices(t *testing.T) (project *types.Project, sidecar, app types.ServiceConfig) {
	t.Helper()
	project, err := loadCompose(t.Context(), composeFile)
	if err != nil {
		t.Fatal(err)
	}
	return project, project.Services["ticketproxy"], project.Services["app"]
}

// TestComposeFile checks what the example says about the two containers.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	_, sidecar, app := exampleServices(t)
	dockerfile := readText(t, "../Dockerfile")
	dependency := app.DependsOn["ticketproxy"]
	var volume types.ServiceVolumeConfig
	if len(sidecar.Volumes) == 1 {
		volume = sidecar.Volumes[0]
	}
	goMemLimit := *sidecar.Environment["GOMEMLIMIT"]
	const unlessStopped = types.RestartPolicyUnlessStopped
	for what, ok := range map[string]bool{
		"the app joins the sidecar's network":            app.NetworkMode == "service:ticketproxy",
		"the sidecar has a network of its own":           sidecar.NetworkMode == "",
		"the app waits for a healthy sidecar":            dependency.Condition == types.ServiceConditionHealthy,
		"the image has a health check":                   strings.Contains(dockerfile, "\nHEALTHCHECK "),
		"the sidecar keeps the image's health check":     sidecar.HealthCheck == nil,
		"the app joins the network of a new sidecar":     dependency.Restart,
		"the sidecar has the app's name":                 slices.Contains(sidecar.Networks["default"].Aliases, "app"),
		"the sidecar's own ports are not published":      len(sidecar.Ports) == 1 && sidecar.Ports[0].Target == 3000,
		"the app calls the sidecar's default address":    *app.Environment["OPENTICKET_URL"] == "http://127.0.0.1:8080",
		"the app gets no secret":                         len(app.Secrets) == 0,
		"the engine restarts both":                       sidecar.Restart == unlessStopped && app.Restart == unlessStopped,
		"a drain of 25 s and a token request of 5 s fit": time.Duration(*sidecar.StopGracePeriod) >= 35*time.Second,
		"the root file system is read-only":              sidecar.ReadOnly,
		"the sidecar loses its capabilities":             slices.Equal(sidecar.CapDrop, []string{"ALL"}),
		"the sidecar gets no capabilities":               len(sidecar.CapAdd) == 0 && !sidecar.Privileged,
		"the sidecar gets no privileges":                 slices.Contains(sidecar.SecurityOpt, "no-new-privileges:true"),
		"the image's user is no root":                    strings.Contains(dockerfile, "\nUSER 65532:65532\n"),
		"the program runs as the image's user":           sidecar.User == "",
		"the memory limit is above Go's":                 sidecar.MemLimit == 128<<20 && goMemLimit == "115MiB",
		"the image's program runs with the image's verb": len(sidecar.Entrypoint) == 0 && len(sidecar.Command) == 0,
		"the image's state is at /state":                 strings.Contains(dockerfile, "\nENV XDG_STATE_HOME=/state\n"),
		"a volume is at /state":                          volume.Target == "/state" && !volume.ReadOnly,
		"the volume has a name":                          volume.Type == types.VolumeTypeVolume && volume.Source == "tokens",
	} {
		if !ok {
			t.Errorf("the example does not hold to this: %s", what)
		}
	}
}

// TestComposeNetworkOfTheApp checks what the example says of the other way round: a sidecar
// that joins the app's network cannot start before the app.
func TestComposeNetworkOfTheApp(t *testing.T) {
	t.Parallel()
	const file = `
services:
  ticketproxy: {image: ticketproxy, network_mode: "service:app"}
  app: {image: app, depends_on: {ticketproxy: {condition: service_healthy}}}
`
	name := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadCompose(t.Context(), name); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("loading it: %v, want a dependency cycle", err)
	}
}

// TestComposeSidecar does what the example's comments say, with the real program and the
// sandbox: it logs in with the environment, the secret and the volume of the service, while
// the service runs, and then requests the API as the app does.
func TestComposeSidecar(t *testing.T) {
	t.Parallel()
	project, sidecar, _ := exampleServices(t)
	issuer := startSandbox(t, time.Minute)["openticket"]
	volume, listen, admin := t.TempDir(), freeAddress(t), freeAddress(t)

	replaced := map[string]string{"TICKETPROXY_LISTEN": listen, "TICKETPROXY_ADMIN_LISTEN": admin}
	secrets := map[string]string{}
	for _, setting := range issuer.settings {
		name, value, _ := strings.Cut(setting, "=")
		switch name = "TICKETPROXY_" + name; name {
		case "TICKETPROXY_CLIENT_SECRET":
			secrets[name+"_FILE"] = value
		default:
			replaced[name] = value
		}
	}
	environ := []string{"XDG_STATE_HOME=" + volume}
	for name, value := range sidecar.Environment {
		switch {
		case strings.HasSuffix(name, "_FILE"):
			mustBeMounted(t, project, sidecar, *value)
			file := filepath.Join(t.TempDir(), path.Base(*value))
			if err := os.WriteFile(file, []byte(secrets[name]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			environ = append(environ, name+"="+file)
		case replaced[name] == "":
			environ = append(environ, name+"="+*value)
		case name == "TICKETPROXY_PROVIDER" && replaced[name] != *value:
			t.Fatalf("the example's provider is %s", *value)
		}
	}
	for name, value := range replaced {
		environ = append(environ, name+"="+value)
	}

	p := newProxy(t, volume, nil)
	p.admin = admin
	p.startWith(func(cmd *exec.Cmd) { cmd.Env = environ })
	healthy := func() error {
		cmd := exec.CommandContext(t.Context(), binary, "wait", "--timeout", "1s") // as in the Dockerfile
		cmd.Env = environ
		return cmd.Run()
	}
	if err := healthy(); err == nil {
		t.Error("the sidecar is healthy before the login")
	}
	pasteLogin(t, environ, "--no-browser", "--redirect-uri", "http://localhost:8400/callback")
	await(t, 30*time.Second, "the sidecar is healthy", func() bool { return healthy() == nil })
	res, err := control.Get("http://" + listen + "/users/me")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the app's request: %s, want 200", res.Status)
	}
	if code := p.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// mustBeMounted checks that a secret of the service is at the path.
func mustBeMounted(t *testing.T, project *types.Project, service types.ServiceConfig, at string) {
	t.Helper()
	for _, s := range service.Secrets {
		target := s.Target
		if !path.IsAbs(target) {
			target = path.Join("/run/secrets", target)
		}
		if target == at && project.Secrets[s.Source].File != "" {
			return
		}
	}
	t.Errorf("no secret is mounted at %s: %+v", at, service.Secrets)
}

// pasteLogin runs login, gives consent elsewhere, and pastes the address at which the browser
// ends up.
func pasteLogin(t *testing.T, environ []string, flags ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"login", "--timeout", "30s"}, flags...)...)
	cmd.Env = environ
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var printed, address string
	for lines := bufio.NewScanner(output); address == "" && lines.Scan(); {
		printed += lines.Text() + "\n"
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "http") {
			address = line
		}
	}
	elsewhere := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := elsewhere.Get(address + "&approve=1")
	if err != nil {
		t.Fatalf("giving consent: %v\n%s", err, printed)
	}
	res.Body.Close()
	fmt.Fprintln(stdin, res.Header.Get("Location"))
	stdin.Close()
	rest, err := io.ReadAll(output)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("login: %v\n%s%s", err, printed, rest)
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
