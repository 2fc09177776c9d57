//go:build linux && embedded

package rotator

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// built builds the program.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certquake")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// account writes a kubeconfig of a service account's own token.
func (c *cluster) account(namespace, account string) string {
	c.Helper()
	all, err := kubernetes.NewForConfig(c.target.Config)
	require.NoError(c, err)
	token, err := all.CoreV1().ServiceAccounts(namespace).CreateToken(
		c.Context(), account, &authentication.TokenRequest{}, meta.CreateOptions{})
	require.NoError(c, err)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server:                   c.target.Config.Host,
		CertificateAuthority:     c.target.Config.CAFile,
		CertificateAuthorityData: c.target.Config.CAData,
	}
	config.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	config.CurrentContext = "c"
	path := filepath.Join(c.TempDir(), "kubeconfig")
	require.NoError(c, clientcmd.WriteToFile(*config, path))
	return path
}

// process is a running program.
type process struct {
	*exec.Cmd
	lock sync.Mutex
	text bytes.Buffer // what it says
}

// Write implements io.Writer for what the program says.
func (p *process) Write(data []byte) (int, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.text.Write(data)
}

func (p *process) said() string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.text.String()
}

// begin begins a process, which the test does not outlive.
func (c *cluster) begin(program string, args ...string) *process {
	c.Helper()
	p := &process{Cmd: exec.CommandContext(c.Context(), program, args...)}
	p.Stderr = p
	require.NoError(c, p.Start())
	return p
}

// refuses runs a process that must end by itself, as an error that is not the caller's.
func (c *cluster) refuses(want []string, program string, args ...string) {
	c.Helper()
	p := c.begin(program, args...)
	require.Error(c, p.Wait())
	assert.Equal(c, 1, p.ProcessState.ExitCode(), "%s", p.said())
	for _, text := range want {
		assert.Contains(c, p.said(), text)
	}
}

// The program itself, with the account that it printed and its own token, rotates. Killed in the
// middle of a rotation and started again, it ends that one and begins no other. In the end it is
// installed as it printed, and goes on in pods.
func TestProcess(t *testing.T) {
	program := built(t)
	const image = "certquake/rotator"
	c := raise(t, map[string]string{image: program})
	admin := []string{"rotator", "--kubeconfig", c.target.Kubeconfig}
	c.refuses([]string{"certquake rotator crd | kubectl apply -f -"},
		program, append(admin, "--no-leader-election")...)

	out, err := exec.CommandContext(t.Context(), program, "rotator", "manifest",
		"--namespace", "ops", "--watch", "default", "--image", image+":test").Output()
	require.NoError(t, err)
	before, deployment, found := strings.Cut(string(out), "---\napiVersion: apps/v1\n")
	require.True(t, found)
	c.apply(before)
	c.served()
	address, leave := c.take()
	c.refuses([]string{address, "choose another --metrics-address or --health-address"},
		program, append(admin, "--no-leader-election", "--metrics-address", address)...)
	leave()
	own := []string{
		"rotator", "--kubeconfig", c.account("ops", "certquake-rotator"),
		"--lease-namespace", "ops",
	}
	c.refuses([]string{
		"get secrets", "certquake rotator rbac --namespace ops | kubectl apply -f -",
	}, program, own...)

	c.killed(program, address, append(own, "--namespace", "default", "--poll", "1s",
		"--metrics-address", address))
	c.installed("apiVersion: apps/v1\n" + deployment)
}

// take returns an address that somebody listens on until told to leave.
func (c *cluster) take() (address string, leave func()) {
	c.Helper()
	listener, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", "127.0.0.1:0")
	require.NoError(c, err)
	return listener.Addr().String(), func() { assert.NoError(c, listener.Close()) }
}

// killed kills the program, which shows metrics at an address, in the middle of a rotation.
func (c *cluster) killed(program, address string, args []string) {
	c.Helper()
	c.follow()
	first := c.begin(program, args...)
	c.apply(`
apiVersion: certquake.dev/v1alpha1
kind: RotatingSecret
metadata: {name: jwt, namespace: default}
spec: {generate: {length: 16}, promoteAfter: 4s, retireAfter: 2s}
`)
	c.await("the first key", func() bool { return len(c.rings()) == 1 })
	c.change("jwt", `{"spec":{"orders":{"rotate":"leak-1"}}}`)
	c.await("the second key", func() bool { return len(c.rings()) == 2 })
	require.NoError(c, first.Process.Kill())
	require.Error(c, first.Wait())
	assert.Contains(c, first.said(), `msg="create r1: there is no key"`)
	assert.Contains(c, first.said(), `msg="publish r2: a rotation was ordered"`)

	second := c.begin(program, args...)
	want := []string{
		"r1.key.primary", "r1.key.primary r2.key", "r1.key r2.key.primary", "r2.key.primary",
	}
	// The Lease is the first one's for 15s yet.
	require.Eventually(c, func() bool { return len(c.rings()) >= len(want) },
		2*time.Minute, 50*time.Millisecond, "%s", second.said())
	time.Sleep(5 * time.Second) // for a second rotation, which would have begun by now
	assert.Equal(c, want, c.rings())
	c.pages(address)
	require.NoError(c, second.Process.Signal(syscall.SIGTERM))
	require.NoError(c, second.Wait(), "%s", second.said())
	var steps []string
	for _, line := range regexp.MustCompile(`reason=(\w+)\n`).FindAllStringSubmatch(
		second.said(), -1) {
		steps = append(steps, line[1])
	}
	assert.Equal(c, []string{"Promote", "Retire"}, steps, "%s", second.said())
}

// pages looks at the metrics.
func (c *cluster) pages(address string) {
	c.Helper()
	request, err := http.NewRequestWithContext(
		c.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	require.NoError(c, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(c, err)
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	require.NoError(c, err)
	assert.Contains(c, string(page),
		`certquake_rotator_steps_total{name="jwt",namespace="default",step="Retire"} 1`)
}

// installed has the operator run in pods: all of them are ready, and one of them rotates.
func (c *cluster) installed(manifest string) {
	c.Helper()
	// A program that stands for an image has no user; images that certquake makes have this one.
	const nonroot = "runAsNonRoot: true"
	require.Contains(c, manifest, nonroot)
	c.apply(strings.Replace(manifest, nonroot, nonroot+"\n        runAsUser: 65532", 1))
	deployment := &apps.Deployment{}
	require.Eventually(c, func() bool {
		require.NoError(c, c.client.Get(c.Context(),
			client.ObjectKey{Namespace: "ops", Name: "certquake-rotator"}, deployment))
		return deployment.Status.ReadyReplicas == 2
	}, 2*time.Minute, time.Second, "two operators are ready")
	pods := &core.PodList{}
	require.NoError(c, c.client.List(c.Context(), pods, client.InNamespace("ops")))
	for _, pod := range pods.Items {
		assert.Equal(c, core.PodRunning, pod.Status.Phase)
		for _, status := range pod.Status.ContainerStatuses {
			assert.Zero(c, status.RestartCount)
		}
	}
	c.change("jwt", `{"spec":{"orders":{"rotate":"leak-2"}}}`)
	c.await("the next rotation", func() bool {
		rings := c.rings()
		return rings[len(rings)-1] == "r3.key.primary"
	})
}
