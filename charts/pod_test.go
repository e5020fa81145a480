package charts

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// A serviceMonitor has the fields of the Prometheus operator's kind that the chart uses.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

func (m *serviceMonitor) DeepCopyObject() runtime.Object { c := *m; return &c }

// decode decodes manifests like an API server with strict validation: an unknown or
// duplicate field is an error. It returns the first object of each kind by its kind, and all
// by kind and name, like Secret/park.
func decode(t *testing.T, manifests string) map[string]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}, new(serviceMonitor))
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	objects := map[string]runtime.Object{}
	for _, manifest := range strings.Split(manifests, "\n---\n") {
		if strings.TrimSpace(strings.TrimPrefix(manifest, "---")) == "" {
			continue
		}
		object, kind, err := decoder.Decode([]byte(manifest), nil, nil)
		if err != nil {
			t.Fatalf("%v:\n%s", err, manifest)
		}
		accessor, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		name := kind.Kind + "/" + accessor.GetName()
		if objects[name] != nil {
			t.Fatalf("there are two of %s", name)
		}
		if objects[kind.Kind] == nil {
			objects[kind.Kind] = object
		}
		objects[name] = object
	}
	return objects
}

// covers reports whether the selector matches the labels.
func covers(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	return env
}

func portNamed(c corev1.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// checkPod checks that the Pod and the configuration of the program in it fit together. callers
// is the content of CALLERS_FILE, if there is one.
func checkPod(t *testing.T, pod corev1.PodSpec, c corev1.Container, callers string) {
	t.Helper()
	env := environment(c)
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || portNamed(c, probe.HTTPGet.Port.StrVal) != 9090 || env["TICKETPROXY_ADMIN_LISTEN"] != "0.0.0.0:9090" {
			t.Errorf("a probe does not reach the admin listener: %+v", probe)
		}
	}
	drain := duration(t, env["TICKETPROXY_DRAIN_DELAY"], 0) + duration(t, env["TICKETPROXY_DRAIN_TIMEOUT"], 25*time.Second)
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < drain+5*time.Second {
		t.Errorf("the Pod is killed after %v, but a drain takes %v and 5s for a token request", grace, drain)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Error("the Pod gets a ServiceAccount token or variables of Services")
	}
	if *pod.SecurityContext.FSGroupChangePolicy != corev1.FSGroupChangeOnRootMismatch {
		t.Error("the kubelet would let the group read the records")
	}
	checkConfiguration(t, env, mounted(t, pod, c), callers)
}

// duration parses a variable. unset is the program's default.
func duration(t *testing.T, value string, unset time.Duration) time.Duration {
	t.Helper()
	if value == "" {
		return unset
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		t.Error(err)
	}
	return d
}

// checkRestricted checks that the gateway meets the "restricted" Pod Security Standard and
// has a read-only root file system.
func checkRestricted(t *testing.T, pod corev1.PodSecurityContext, c corev1.SecurityContext) {
	t.Helper()
	if !*pod.RunAsNonRoot || *pod.RunAsUser != 65532 || *pod.RunAsGroup != 65532 || *pod.FSGroup != 65532 ||
		pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem ||
		len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" || len(c.Capabilities.Add) != 0 {
		t.Errorf("the Pod may do more than it needs: %+v %+v", pod, c)
	}
}

// mounted returns the paths of the files from volumes in the container, and of the
// directories where it may write.
func mounted(t *testing.T, pod corev1.PodSpec, c corev1.Container) map[string]bool {
	t.Helper()
	paths := map[string]bool{}
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	for _, mount := range c.VolumeMounts {
		v, ok := volumes[mount.Name]
		if !ok {
			t.Errorf("there is no volume %s", mount.Name)
		}
		switch {
		case v.PersistentVolumeClaim != nil:
			paths[mount.MountPath] = true
		case v.Secret != nil:
			checkMode(t, pod, v.Secret.DefaultMode)
			for _, key := range []string{"client-secret", "refresh-token"} {
				paths[path.Join(mount.MountPath, key)] = true
			}
		case v.Projected != nil:
			for _, source := range v.Projected.Sources {
				var items []corev1.KeyToPath
				if source.Secret != nil {
					checkMode(t, pod, v.Projected.DefaultMode)
					items = source.Secret.Items
				} else if source.ConfigMap != nil {
					items = source.ConfigMap.Items
				}
				for _, item := range items {
					if item.Key == "" {
						t.Errorf("there is no key for %s", item.Path)
					}
					paths[path.Join(mount.MountPath, item.Path)] = true
				}
			}
		}
	}
	return paths
}

// checkMode checks the mode of a volume with secrets: without an fsGroup, only others than its
// owner root can be the container's user.
func checkMode(t *testing.T, pod corev1.PodSpec, mode *int32) {
	t.Helper()
	want := int32(0o440)
	if pod.SecurityContext.FSGroup == nil {
		want = 0o444
	}
	if mode == nil || *mode != want {
		t.Errorf("a volume with secrets is not of mode %#o", want)
	}
}

// checkConfiguration runs the program to check that it accepts the environment. One variable
// is wrong on purpose, so that the program prints the mistakes and ends.
func checkConfiguration(t *testing.T, env map[string]string, mounts map[string]bool, callers string) {
	t.Helper()
	const wrong = "TICKETPROXY_WRONG_ON_PURPOSE"
	cmd := exec.CommandContext(t.Context(), program(t, "TICKETPROXY"), "serve")
	cmd.Env = []string{wrong + "=mistake"}
	for name, value := range env {
		if strings.HasSuffix(name, "_FILE") {
			if !mounts[value] {
				t.Errorf("%s: no volume has the file %s", name, value)
			}
			content := []byte("secret")
			switch {
			case strings.HasSuffix(name, "_CA_FILE"):
				content = certificate(t)
			case name == "TICKETPROXY_CALLERS_FILE":
				content = []byte(callers)
			case name == "TICKETPROXY_STATE_FILE":
				content = []byte("postgres://ticketproxy@database.example.com/tickets")
			case name == "TICKETPROXY_STATE_KEY_FILE":
				// Made by age-keygen, for this test alone. In one piece, scanners take it for a secret.
				content = []byte("AGE-SECRET-KEY-" + "1YLGL4PTSN2E40WYRWRM9WSKCYG8LX7KPAENFUQU8KQ245XZ8X0JSH2XTRW")
			}
			value = filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(value, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if dir, ok := strings.CutPrefix(env["TICKETPROXY_STATE"], "file:"); ok && !mounts[path.Dir(dir)] {
		t.Errorf("the state %s is not on a volume", dir)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("the program ended with %v, not with exit code 2:\n%s", err, &stderr)
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.HasPrefix(line, "ticketproxy: ") && !strings.Contains(line, wrong) {
			t.Errorf("the program refuses the chart's configuration: %s", line)
		}
	}
	if !strings.Contains(stderr.String(), wrong) {
		t.Errorf("the program does not report the mistake: %s", &stderr)
	}
}

// certificate returns a certificate in PEM.
func certificate(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
