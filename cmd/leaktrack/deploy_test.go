//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	unitFile    = "../../doc/deploy/leaktrack-watch@.service"
	sidecarFile = "../../doc/deploy/sidecar.yaml"
)

// unitSettings reads the settings of the unit file, several of one name in order.
func unitSettings(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %q", unitFile, line)
		}
		out[name] = append(out[name], value)
	}
	return out
}

// watchable runs the watch of a deployment up to the point where it looks for the
// program, which tells that leaktrack takes its flags.
func watchable(t *testing.T, args []string) {
	t.Helper()
	if !slices.Contains(args, "--wait") || args[len(args)-1] != "Shop.Web" {
		t.Errorf("%q waits for no Shop.Web", args)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it would wait
	var out, errOut bytes.Buffer
	args = append([]string{"leaktrack", "--db", filepath.Join(t.TempDir(), "x.db")}, args...)
	if status := run(ctx, args, nil, &out, &errOut); status != exitFailed || !strings.Contains(errOut.String(), "leaktrack: interrupted") {
		t.Errorf("%q: status %d: %s", args, status, errOut.String())
	}
}

func TestUnit(t *testing.T) {
	u := unitSettings(t)
	call := strings.Join(u["ExecStart"], "\n")
	call = change(t, call, "%S", "/var/lib")
	call = change(t, call, "%I", "Shop.Web")
	call = change(t, call, "%i", "Shop.Web")
	call = change(t, call, "$LEAKTRACK_FLAGS", "--every 5m --max-pause 500ms --metrics 127.0.0.1:0") // as README.md has it, on a free port
	args := strings.Fields(call)
	if want := []string{"/usr/local/bin/leaktrack", "--db", "/var/lib/leaktrack/Shop.Web/leaktrack.db"}; !slices.Equal(args[:3], want) {
		t.Errorf("it runs %q, want %q, in the folder of the unit", args[:3], want)
	}
	watchable(t, args[3:])
	for name, want := range map[string]string{
		"Restart": "on-failure", "StartLimitIntervalSec": "0", "StateDirectory": "leaktrack/%i", "StateDirectoryMode": "0700",
		"WorkingDirectory": "%S/leaktrack/%i", "UMask": "0077", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
		"PrivateTmp": "no", "CapabilityBoundingSet": "CAP_SYS_PTRACE CAP_DAC_OVERRIDE",
	} {
		if got := u[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// SIGTERM must reach it, and a last mail must have its time.
	if u["KillSignal"] != nil || u["SendSIGKILL"] != nil {
		t.Error("it does not end with SIGTERM")
	}
	if d, err := time.ParseDuration(strings.Join(u["TimeoutStopSec"], "")); err != nil || d <= lastMail {
		t.Errorf("it has %v to end, a last mail %v", d, lastMail)
	}
}

// pod is the part of the manifest that README.md speaks of.
type pod struct {
	ShareProcessNamespace         bool
	TerminationGracePeriodSeconds int
	AutomountServiceAccountToken  *bool
	SecurityContext               struct {
		RunAsNonRoot                   bool
		RunAsUser, RunAsGroup, FsGroup int
		SeccompProfile                 struct{ Type string }
	}
	Containers []podContainer
	Volumes    []map[string]any
}

type podContainer struct {
	Name, Image string
	Args        []string
	Command     []string
	Env         []struct{ Name, Value string }
	Ports       []struct {
		Name          string
		ContainerPort int
	}
	SecurityContext map[string]any
	VolumeMounts    []struct{ Name, MountPath string }
	LivenessProbe   struct {
		HTTPGet struct{ Path, Port string }
	}
}

// manifest reads YAML as Kubernetes does, by way of JSON.
func manifest(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func TestSidecarManifest(t *testing.T) {
	var m struct {
		APIVersion, Kind string
		Spec             struct {
			Selector struct{ MatchLabels map[string]string }
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     pod
			}
		}
	}
	manifest(t, sidecarFile, &m)
	p := m.Spec.Template.Spec
	if m.APIVersion != "apps/v1" || m.Kind != "Deployment" || len(m.Spec.Selector.MatchLabels) == 0 || m.Spec.Selector.MatchLabels["app"] != m.Spec.Template.Metadata.Labels["app"] {
		t.Errorf("no deployment that selects its pods: %+v", m)
	}
	if !p.ShareProcessNamespace {
		t.Error("the namespace of processes is not shared")
	}
	if p.TerminationGracePeriodSeconds <= int(lastMail.Seconds()) || p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		t.Errorf("%d s to end, token %v", p.TerminationGracePeriodSeconds, p.AutomountServiceAccountToken)
	}
	if s := p.SecurityContext; !s.RunAsNonRoot || s.RunAsUser != 1654 || s.RunAsGroup != 1654 || s.FsGroup != 1654 || s.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("security of the pod: %+v", s)
	}
	empty := map[any]bool{}
	for _, v := range p.Volumes {
		if _, ok := v["emptyDir"]; ok {
			empty[v["name"]] = true
		}
	}
	if len(p.Containers) != 2 {
		t.Fatalf("%d containers", len(p.Containers))
	}
	for _, c := range p.Containers {
		shares := false
		for _, v := range c.VolumeMounts {
			shares = shares || v.MountPath == "/tmp" && v.Name == "tmp" && empty["tmp"]
		}
		if !shares {
			t.Errorf("%s does not share /tmp", c.Name)
		}
		// Neither takes another user than the pod's, nor a capability.
		if got := fmt.Sprint(c.SecurityContext); got != "map[allowPrivilegeEscalation:false capabilities:map[drop:[ALL]] readOnlyRootFilesystem:true]" {
			t.Errorf("security of %s: %s", c.Name, got)
		}
	}
	c := p.Containers[1]
	if c.Name != "leaktrack" || c.Command != nil || len(c.Ports) != 1 {
		t.Fatalf("the watcher is %+v", c)
	}
	// The discovery of doc/fleet.md goes by the port's name.
	if port := c.Ports[0]; port.Name != "leaktrack" || port.ContainerPort != 9464 || c.LivenessProbe.HTTPGet.Port != port.Name || c.LivenessProbe.HTTPGet.Path != "/healthz" ||
		!strings.Contains(fleetFile(t, "prometheus-kubernetes.yml"), "regex: "+port.Name+"\n") {
		t.Errorf("port %+v, probe %+v", port, c.LivenessProbe)
	}
	args := slices.Clone(c.Args)
	i := slices.Index(args, "0.0.0.0:9464")
	if i < 1 || args[i-1] != "--metrics" {
		t.Fatalf("it serves no metrics to the Prometheus: %q", args)
	}
	args[i] = "127.0.0.1:0"
	watchable(t, args)
	db := ""
	for _, e := range c.Env {
		if e.Name == dbVariable {
			db = e.Value
		}
	}
	kept := false
	for _, v := range c.VolumeMounts {
		kept = kept || filepath.Dir(db) == v.MountPath && empty[v.Name]
	}
	if !kept {
		t.Errorf("the snapshots at %q are in no volume", db)
	}
}

// TestFleetUnit has systemd read the unit.
func TestFleetUnit(t *testing.T) {
	prometheus(t) // the part of .ci/run that this belongs to
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) string {
		path := filepath.Join(t.TempDir(), filepath.Base(unitFile))
		// There must be a program; the manual need not be installed.
		if err := os.WriteFile(path, []byte(change(t, text, "/usr/local/bin/leaktrack", self)), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "verify", "--man=no", path).CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%v\n%s", err, out)
		}
		return string(out)
	}
	if said := verify(string(b)); said != "" {
		t.Errorf("systemd says:\n%s", said)
	}
	if said := verify(change(t, string(b), "ProtectHome=", "ProtectHom=")); !strings.Contains(said, "ProtectHom") {
		t.Errorf("a slip of the pen is not seen: %q", said)
	}
}

// TestFleetSidecar builds the pod of the manifest out of namespaces.
func TestFleetSidecar(t *testing.T) {
	prometheus(t) // the part of .ci/run that this belongs to
	bed := testbed(t)
	binary := filepath.Join(t.TempDir(), "leaktrack")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tests := []struct {
		why, user string
		status    int
		want      []string
	}{
		{"the user of the program", "1654", 0, []string{"leaktrack: waiting for LeakZoo", "leaktrack: metrics at http://127.0.0.1:", ": leak\n", "LeakZoo.Node", "1654  9.0.5"}},
		{"another user", "1000", 2, []string{"belongs to another user", "run as the same user or as root"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			// Its folder is bound to /tmp of the program, so it lies outside.
			work, err := os.MkdirTemp("/var/tmp", "leaktrack-pod-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(work) })
			if err := os.Chmod(work, 0o755); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "bash", "testdata/pod.sh", bed, binary, work, tt.user)
			out, err := cmd.CombinedOutput()
			if status := cmd.ProcessState.ExitCode(); status != tt.status {
				t.Errorf("status %d, %v", status, err)
			}
			for _, w := range tt.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("it does not say %q:\n%s", w, out)
				}
			}
		})
	}
}
