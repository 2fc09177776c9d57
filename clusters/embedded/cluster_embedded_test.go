//go:build linux && embedded

package embedded

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	issuing "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/typed/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// built is where `make embedded` puts the programs.
const built = "../../bin"

// bringReal brings up a real cluster.
func bringReal(t *testing.T, nodes []scenarios.PlannedNode) *clusters.Target {
	t.Helper()
	pod := filepath.Join(t.TempDir(), "pod")
	build := exec.Command("go", "build", "-o", pod, "./testdata/pod")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	began := time.Now()
	ctx := harness.WithTalk(t.Context(), func(line string) { t.Log(line) })
	target, err := Up(ctx, nodes, Options{Bin: built, Images: map[string]string{Image: pod}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, target.Down(context.WithoutCancel(t.Context()))) })
	t.Logf("up in %s", time.Since(began).Round(time.Millisecond))
	return target
}

// world is a real cluster's clients.
type world struct {
	*testing.T
	target  *clusters.Target
	core    *kubernetes.Clientset
	issuing *issuing.CertmanagerV1Client
}

func newWorld(t *testing.T, target *clusters.Target) world {
	t.Helper()
	w := world{T: t, target: target}
	var err error
	w.core, err = kubernetes.NewForConfig(target.Config)
	require.NoError(t, err)
	w.issuing, err = issuing.NewForConfig(target.Config)
	require.NoError(t, err)
	return w
}

// do performs an action, which must succeed.
func (w world) do(action scenarios.Action) {
	w.Helper()
	seen, err := w.target.Performs[action.Verb](w.Context(), action)
	require.NoError(w, err)
	w.Log(seen)
}

// issue has a self-signed Certificate issued.
func (w world) issue(name string) {
	w.Helper()
	_, err := w.issuing.Certificates("default").Create(w.Context(), &certmanager.Certificate{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: certmanager.CertificateSpec{
			SecretName: name, CommonName: name,
			IssuerRef: cmmeta.IssuerReference{Name: "self"},
		},
	}, meta.CreateOptions{})
	require.NoError(w, err)
}

func (w world) issued(name string) func() bool {
	return func() bool {
		secret, err := w.core.CoreV1().Secrets("default").Get(w.Context(), name, meta.GetOptions{})
		return err == nil && len(secret.Data["tls.crt"]) > 0
	}
}

func (w world) eventually(condition func() bool, what string) time.Duration {
	w.Helper()
	began := time.Now()
	require.Eventually(w, condition, 90*time.Second, 50*time.Millisecond, what)
	return time.Since(began).Round(10 * time.Millisecond)
}

// write sets the Secret that the pod mounts.
func (w world) write(word string) {
	w.Helper()
	secrets := w.core.CoreV1().Secrets("default")
	secret := &core.Secret{
		ObjectMeta: meta.ObjectMeta{Name: "word"}, Data: map[string][]byte{"word": []byte(word)},
	}
	_, err := secrets.Update(w.Context(), secret, meta.UpdateOptions{})
	if err != nil {
		_, err = secrets.Create(w.Context(), secret, meta.CreateOptions{})
	}
	require.NoError(w, err)
}

func (w world) run(node string) {
	w.Helper()
	_, err := w.core.CoreV1().Pods("default").Create(w.Context(), &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: node},
		Spec: core.PodSpec{
			NodeName: w.target.Nodes[node],
			Containers: []core.Container{{
				Name: "pod", Image: w.target.Image,
				VolumeMounts: []core.VolumeMount{{Name: "secret", MountPath: "/secret"}},
			}},
			Volumes: []core.Volume{{Name: "secret", VolumeSource: core.VolumeSource{
				Secret: &core.SecretVolumeSource{SecretName: "word"},
			}}},
		},
	}, meta.CreateOptions{})
	require.NoError(w, err)
}

// said reports whether the pod on the node has seen the word.
func (w world) said(node, word string) func() bool {
	return func() bool {
		log, err := w.core.CoreV1().Pods("default").
			GetLogs(node, &core.PodLogOptions{}).DoRaw(w.Context())
		return err == nil && strings.Contains(string(log), "word "+word)
	}
}

// One cluster, every verb, and nothing left.
func TestRealCluster(t *testing.T) {
	planned := nodes("fast", strings.Repeat("long", 12))
	planned[0].SyncFrequency = time.Second
	slow := planned[1].Name
	planned[1].SyncFrequency, planned[1].ChangeDetection = time.Second, scenarios.Cache
	planned[1].CacheTTL = 3 * time.Second
	target := bringReal(t, planned)
	w := newWorld(t, target)
	spaces := spacesOf(t, os.Getpid())
	require.NotEmpty(t, remains(t, spaces), "the check sees a living cluster")
	node, err := w.core.CoreV1().Nodes().Get(t.Context(), target.Nodes[slow], meta.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "3", node.Annotations["node.alpha.kubernetes.io/ttl"])

	t.Run("issues", func(t *testing.T) { w.with(t).testIssues() })
	t.Run("kubelet", func(t *testing.T) { w.with(t).testKubelet(slow) })
	t.Run("cert-manager", func(t *testing.T) { w.with(t).testOutages() })
	t.Run("api", func(t *testing.T) { w.with(t).testAPI() })
	t.Run("kubectl", func(t *testing.T) { w.with(t).testKubectl() })

	dir := filepath.Dir(target.Kubeconfig)
	began := time.Now()
	require.NoError(t, target.Down(t.Context()))
	t.Logf("down in %s", time.Since(began).Round(time.Millisecond))
	assert.Empty(t, remains(t, spaces, dir))
	assert.NoDirExists(t, dir)
}

func (w world) with(t *testing.T) world {
	t.Helper()
	w.T = t
	return w
}

func (w world) testIssues() {
	_, err := w.issuing.Issuers("default").Create(w.Context(), &certmanager.Issuer{
		ObjectMeta: meta.ObjectMeta{Name: "self"},
		Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{
			SelfSigned: &certmanager.SelfSignedIssuer{},
		}},
	}, meta.CreateOptions{})
	require.NoError(w, err)
	w.issue("first")
	w.Logf("issued in %s", w.eventually(w.issued("first"), "a Certificate is issued"))
}

func (w world) testKubelet(slow string) {
	w.write("one")
	for _, node := range []string{"fast", slow} {
		w.run(node)
		w.Logf("%s runs after %s", node, w.eventually(w.said(node, "one"), "the pod runs"))
	}
	w.do(scenarios.Action{Verb: scenarios.PauseSync, Node: "fast"})
	w.write("two")
	w.Logf("cached for %s", w.eventually(w.said(slow, "two"), "the other node delivers"))
	w.do(scenarios.Action{Verb: scenarios.ResumeSync, Node: "fast"})
	w.Logf("delivered %s after the pause", w.eventually(w.said("fast", "two"), "it delivers"))
	settings := nodes("fast")[0]
	settings.SyncFrequency, settings.ChangeDetection = 2*time.Second, scenarios.Cache
	settings.CacheTTL = 0
	w.do(scenarios.Action{Verb: scenarios.ConfigureKubelet, Node: "fast", Kubelet: &settings})
	node, err := w.core.CoreV1().Nodes().Get(w.Context(), "fast", meta.GetOptions{})
	require.NoError(w, err)
	assert.Equal(w, "60", node.Annotations["node.alpha.kubernetes.io/ttl"])
	settings.ChangeDetection = scenarios.Get
	w.do(scenarios.Action{Verb: scenarios.ConfigureKubelet, Node: "fast", Kubelet: &settings})
	w.write("three")
	w.Logf("delivered in %s with Get", w.eventually(w.said("fast", "three"), "it delivers"))
}

func (w world) testOutages() {
	w.do(scenarios.Action{Verb: scenarios.StopIssuer, Mode: scenarios.OutageStop})
	w.issue("second")
	require.Never(w, w.issued("second"), 3*time.Second, 500*time.Millisecond)
	w.do(scenarios.Action{Verb: scenarios.StartIssuer, Mode: scenarios.OutageStop})
	w.Logf("issued %s after the start", w.eventually(w.issued("second"), "it is issued"))
	_, err := w.target.Performs[scenarios.StartIssuer](w.Context(),
		scenarios.Action{Verb: scenarios.StartIssuer})
	require.ErrorIs(w, err, errRefused)
	w.do(scenarios.Action{Verb: scenarios.StopWebhook})
	w.do(scenarios.Action{Verb: scenarios.StartWebhook})
}

func (w world) testAPI() {
	w.do(scenarios.Action{Verb: scenarios.StopAPI})
	_, err := w.core.Discovery().ServerVersion()
	require.Error(w, err)
	w.do(scenarios.Action{Verb: scenarios.PauseSync, Node: "fast"})
	w.do(scenarios.Action{Verb: scenarios.ResumeSync, Node: "fast"})
	w.do(scenarios.Action{Verb: scenarios.StartAPI})
	require.True(w, w.issued("first")(), "the data is kept")
	w.issue("third")
	w.Logf("issued %s after the start", w.eventually(w.issued("third"), "it is issued"))
	require.NoError(w, w.target.Cause())
}

// A person's kubectl works with the kubeconfig.
func (w world) testKubectl() {
	tool, err := exec.LookPath("kubectl")
	require.NoError(w, err, "Debian's package kubernetes-client has it")
	for want, line := range map[string]string{
		"certificate.cert-manager.io/first": "get certificate -o name",
		"word three":                        "logs fast",
		`secret "first" deleted`:            "delete secret first",
	} {
		cmd := exec.Command(tool, append([]string{"--kubeconfig", w.target.Kubeconfig},
			strings.Fields(line)...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(w, err, "%s", out)
		assert.Contains(w, string(out), want)
	}
}

// A part that is killed from outside breaks the cluster, which says so.
func TestRealBreak(t *testing.T) {
	target := bringReal(t, nodes("one"))
	spaces := spacesOf(t, os.Getpid())
	for _, process := range remains(t, spaces) {
		name, _ := os.ReadFile(filepath.Join("/proc", process, "cmdline"))
		if bytes.Contains(name, []byte("\x00kubelet\x00")) {
			pid, err := strconv.Atoi(process)
			require.NoError(t, err)
			kubelet, err := os.FindProcess(pid)
			require.NoError(t, err)
			require.NoError(t, kubelet.Kill())
		}
	}
	select {
	case <-target.Broken:
	case <-time.After(20 * time.Second):
		require.Fail(t, "nobody was told")
	}
	require.ErrorIs(t, target.Cause(), clusters.ErrBroken)
	require.ErrorContains(t, target.Cause(), "kubelet/one: ended by itself")
	t.Log(target.Cause())
	dir := filepath.Dir(target.Kubeconfig)
	require.NoError(t, target.Down(t.Context()))
	assert.FileExists(t, filepath.Join(dir, "logs", "kubelet", "one.log"))
	assert.NoFileExists(t, filepath.Join(dir, lockName))
	require.Empty(t, remains(t, spaces))
	require.NoError(t, os.RemoveAll(dir))
}

// A start that is interrupted leaves nothing.
func TestRealInterrupt(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	_, err := Up(ctx, nodes("one"), Options{
		Bin: built, Images: map[string]string{Image: filepath.Join(built, programContainer)},
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
	for _, process := range descendants(t, os.Getpid()) {
		name, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(process), "exe"))
		assert.NotContains(t, name, programControlPlane)
	}
}

// TestKilledOwner kills the harness with no chance to clean up, and finds nothing left.
func TestKilledOwner(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"="+built)
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	var dir string
	for scanner := bufio.NewScanner(out); dir == "" && scanner.Scan(); {
		if path, found := strings.CutPrefix(scanner.Text(), "up: "); found {
			dir = filepath.Dir(path)
		}
	}
	require.NotEmpty(t, dir)
	spaces := spacesOf(t, owner.Process.Pid)
	require.NotEmpty(t, remains(t, spaces), "the check sees a living cluster")
	require.NoError(t, owner.Process.Kill())
	killed := time.Now()
	_ = owner.Wait()
	require.Eventually(t, func() bool { return len(remains(t, spaces, dir)) == 0 },
		10*time.Second, 10*time.Millisecond)
	t.Logf("everything gone %s after kill -9", time.Since(killed).Round(time.Millisecond))
	assert.Eventually(t, func() bool { return !exists(dir) },
		5*time.Second, 10*time.Millisecond, "its folder")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// descendants are the processes below one, as /proc tells their parents.
func descendants(t *testing.T, ancestor int) []int {
	t.Helper()
	children := map[int][]int{}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		var state string
		var parent int
		_, err = fmt.Sscan(rest, &state, &parent)
		require.NoError(t, err)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		require.NoError(t, err)
		children[parent] = append(children[parent], pid)
	}
	below := children[ancestor]
	for i := 0; i < len(below); i++ {
		below = append(below, children[below[i]]...)
	}
	return below
}

// spacesOf returns the namespaces of a process's descendants that are not our own.
func spacesOf(t *testing.T, ancestor int) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for _, pid := range descendants(t, ancestor) {
		for _, kind := range []string{"net", "mnt", "pid", "uts", "ipc"} {
			link, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", kind))
			own, _ := os.Readlink("/proc/self/ns/" + kind)
			if err == nil && link != own {
				set[link] = true
			}
		}
	}
	return set
}

// remains lists the processes in the namespaces, and mounts that name one of the folders.
func remains(t *testing.T, spaces map[string]bool, dirs ...string) []string {
	t.Helper()
	var left []string
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, process := range processes {
		for _, kind := range []string{"net", "mnt", "pid"} {
			link, gone := os.Readlink(filepath.Join(process, "ns", kind))
			if gone == nil && spaces[link] {
				left = append(left, filepath.Base(process))
				break
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		for _, dir := range dirs {
			if strings.Contains(line, dir) {
				left = append(left, "mount "+line)
			}
		}
	}
	return left
}
