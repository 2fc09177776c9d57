//go:build embedded

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

const testImage = "certquake/testpod"

// TestWorkloads holds one cluster to what a harness needs of its pods: names, commands through
// the API server, logs, restarts and rights.
func TestWorkloads(t *testing.T) {
	bin := programs(t)
	config := cluster.Config{
		Dir: t.TempDir(), Images: map[string]string{testImage: testpod(t), "shared": shared(t)},
		Nodes: []cluster.Node{node("one", time.Second), node("two", time.Second)},
	}
	r := start(t, bin, config)
	spaces := namespaces(t, r.ready.InitPID)
	api := connect(t, r.ready.Kubeconfig)
	for name, check := range map[string]func(*testing.T, *running, *client){
		"names":        names,
		"commands":     commands,
		"logs":         logs,
		"large log":    largeLog,
		"paused logs":  pausedLogs,
		"restart":      restart,
		"rights":       rights,
		"no such file": noSuchImage,
	} {
		t.Run(name, func(t *testing.T) { check(t, r, api.of(t)) })
	}
	require.NoError(t, r.input.Close())
	require.NoError(t, r.command.Wait())
	requireGone(t, spaces, bin, config.Dir)
}

// of returns the client for a subtest, whose failures end only that.
func (c *client) of(t *testing.T) *client {
	t.Helper()
	own := *c
	own.t = t
	return &own
}

// workload is a pod that runs testpod until it is told to end.
func workload(name string) *core.Pod {
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: core.PodSpec{Containers: []core.Container{{
			Name: "app", Image: testImage, Args: []string{"watch", "/none"},
		}}},
	}
}

// run creates the pod and returns it when its program answers.
func (c *client) run(pod *core.Pod) *core.Pod {
	c.t.Helper()
	_, err := c.kube.CoreV1().Pods("default").Create(c.t.Context(), pod, meta.CreateOptions{})
	require.NoError(c.t, err)
	require.Eventually(c.t, func() bool {
		_, err = c.ask(http.MethodGet, pod.Name, "/", nil, "")
		return err == nil
	}, time.Minute, 20*time.Millisecond, "%s does not answer", pod.Name)
	return c.pod(pod.Name)
}

func (c *client) pod(name string) *core.Pod {
	c.t.Helper()
	pod, err := c.kube.CoreV1().Pods("default").Get(c.t.Context(), name, meta.GetOptions{})
	require.NoError(c.t, err)
	return pod
}

// ask sends a request to a pod through the API server, as a harness commands its workloads.
func (c *client) ask(verb, pod, path string, query url.Values, body string) (string, error) {
	request := c.kube.CoreV1().RESTClient().Verb(verb).Namespace("default").
		Resource("pods").Name(pod + ":8080").SubResource("proxy").Suffix(path)
	for key, values := range query {
		request = request.Param(key, values[0])
	}
	if body != "" {
		request = request.Body(strings.NewReader(body))
	}
	text, err := request.DoRaw(c.t.Context())
	return string(text), err
}

func (c *client) mustAsk(verb, pod, path string, query url.Values) string {
	c.t.Helper()
	text, err := c.ask(verb, pod, path, query, "")
	require.NoError(c.t, err, "%s %s: %s", verb, path, text)
	return text
}

func (c *client) askInto(into any, pod, path string, query url.Values) {
	c.t.Helper()
	text := c.mustAsk(http.MethodGet, pod, path, query)
	require.NoError(c.t, json.Unmarshal([]byte(text), into), text)
}

// commands posts to a pod through the API server.
func commands(t *testing.T, _ *running, api *client) {
	t.Helper()
	api.run(workload("commanded"))
	body := strings.Repeat("a command of some size\n", 10_000)
	began := time.Now()
	got, err := api.ask(http.MethodPost, "commanded", "/echo", nil, body)
	require.NoError(t, err)
	t.Logf("%d kB to a pod and back in %s", len(body)>>10, time.Since(began))
	assert.Equal(t, sha256.Sum256([]byte(body)), sha256.Sum256([]byte(got)))

	began = time.Now()
	for range 100 {
		api.mustAsk(http.MethodPost, "commanded", "/echo", nil)
	}
	t.Logf("one command takes %s", time.Since(began)/100)
	_, err = api.ask(http.MethodPost, "commanded", "/none", nil, "x")
	require.Error(t, err)
}

// rights runs a pod that asks for no right at all.
func rights(t *testing.T, r *running, api *client) {
	t.Helper()
	yes, no, id := true, false, int64(65532)
	for name, group := range map[string]*int64{"without-group": nil, "with-group": &id} {
		pod := workload("rights-" + name)
		pod.Spec.SecurityContext = &core.PodSecurityContext{FSGroup: group}
		pod.Spec.Containers[0].SecurityContext = &core.SecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &id, RunAsGroup: &id,
			ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
			Capabilities:   &core.Capabilities{Drop: []core.Capability{"ALL"}},
			SeccompProfile: &core.SeccompProfile{Type: core.SeccompProfileTypeRuntimeDefault},
		}
		withScratch(pod)
		api.run(pod)
		var place struct {
			UID    int               `json:"uid"`
			Status map[string]string `json:"status"`
		}
		api.askInto(&place, pod.Name, "/place", nil)
		if !r.ready.UserNamespace { // where there is but one
			assert.Equal(t, int(id), place.UID)
		}
		assert.Equal(t, "1", place.Status["NoNewPrivs"])
		for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"} {
			assert.Equal(t, "0000000000000000", place.Status[set], set)
		}
		write := func(path string) error {
			query := values("path", path, "text", "x")
			text, err := api.ask(http.MethodPost, pod.Name, "/write", query, "")
			t.Logf("%s writes %s: %s", pod.Name, path, strings.TrimSpace(text))
			return err
		}
		require.NoError(t, write("/scratch/file"), "an emptyDir")
		require.Error(t, write("/file"), "the root")
		require.Error(t, write("/tmp/file"), "the root")
		require.Error(t, write("/etc/resolv.conf"), "the root")
	}
}

// withScratch gives the pod an emptyDir at /scratch.
func withScratch(pod *core.Pod) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, core.Volume{
		Name: "scratch", VolumeSource: core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{}},
	})
	first := &pod.Spec.Containers[0]
	first.VolumeMounts = append(first.VolumeMounts,
		core.VolumeMount{Name: "scratch", MountPath: "/scratch"})
}

// noSuchImage wants to be told what to do about images that cannot run.
func noSuchImage(t *testing.T, _ *running, api *client) {
	t.Helper()
	for name, c := range map[string]struct{ image, want string }{
		"unmapped": {"example.org/app:v1", `"images": {"example.org/app": "/path/to`},
		"shared":   {"shared:v1", "build it with CGO_ENABLED=0"},
	} {
		pod := workload(name)
		pod.Spec.Containers[0].Image = c.image
		_, err := api.kube.CoreV1().Pods("default").
			Create(t.Context(), pod, meta.CreateOptions{})
		require.NoError(t, err)
		for _, reason := range []string{"ErrImagePull", "ImagePullBackOff"} {
			message := api.waiting(name, reason)
			t.Logf("%s: %s", reason, message)
			assert.Contains(t, message, c.want, reason)
		}
	}
}

// values makes a query of keys and values in turn.
func values(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return query
}
