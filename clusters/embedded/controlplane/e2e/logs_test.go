//go:build embedded

package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// followLog streams a pod's log as a harness does. The channel is closed at the log's end.
func (c *client) followLog(pod string) <-chan string {
	c.t.Helper()
	stream, err := c.streams.CoreV1().Pods("default").
		GetLogs(pod, &core.PodLogOptions{Follow: true, Timestamps: true}).Stream(c.t.Context())
	require.NoError(c.t, err)
	lines := make(chan string, 1<<18)
	go func() {
		defer close(lines)
		defer func() { _ = stream.Close() }()
		for scanner := bufio.NewScanner(stream); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// awaitLine returns the first line that contains the text, without its time.
func awaitLine(t *testing.T, lines <-chan string, text string, within time.Duration) time.Time {
	t.Helper()
	limit := time.After(within)
	for {
		select {
		case line, open := <-lines:
			require.True(t, open, "the log ended before %q", text)
			if strings.Contains(line, text) {
				stamp, _, _ := strings.Cut(line, " ")
				at, err := time.Parse(time.RFC3339Nano, stamp)
				require.NoError(t, err)
				return at
			}
		case <-limit:
			require.Fail(t, "line is missing", text)
		}
	}
}

// log returns the whole log of a container that may have ended.
func (c *client) log(pod string, previous bool) string {
	c.t.Helper()
	var text []byte
	var err error
	require.Eventually(c.t, func() bool {
		text, err = c.kube.CoreV1().Pods("default").
			GetLogs(pod, &core.PodLogOptions{Previous: previous}).DoRaw(c.t.Context())
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	return string(text)
}

// logs follows a pod from its start to its end, and reads it once more when it has ended.
func logs(t *testing.T, _ *running, api *client) {
	t.Helper()
	pod := workload("logged")
	pod.Spec.RestartPolicy = core.RestartPolicyNever
	api.run(pod)
	lines := api.followLog("logged")
	awaitLine(t, lines, `"event":"start"`, 10*time.Second)
	api.printLines("logged", 3, 10)
	printed := awaitLine(t, lines, "line 2 xxxxxxxxxx", 10*time.Second)
	t.Logf("a line reaches its follower after %s", time.Since(printed))
	api.mustAsk(http.MethodPost, "logged", "/exit", url.Values{"code": {"3"}})
	awaitLine(t, lines, `"event":"end"`, 10*time.Second)
	select {
	case _, open := <-lines:
		assert.False(t, open, "lines after the last")
	case <-time.After(20 * time.Second):
		require.Fail(t, "the stream does not end with its container")
	}
	require.Eventually(t, func() bool {
		return api.pod("logged").Status.Phase == core.PodFailed
	}, 20*time.Second, 50*time.Millisecond)
	text := api.log("logged", false)
	assert.Contains(t, text, "line 0 x")
	assert.Contains(t, text, `"event":"end"`)
}

// largeLog prints more than a node usually keeps, and wants every line in order.
func largeLog(t *testing.T, _ *running, api *client) {
	t.Helper()
	const count, length = 100_000, 300
	api.run(workload("talks"))
	lines := api.followLog("talks")
	began := time.Now()
	api.printLines("talks", count, length)
	next, limit := 0, time.After(time.Minute)
	for next < count {
		select {
		case line, open := <-lines:
			require.True(t, open, "the stream ended after %d lines", next)
			_, text, _ := strings.Cut(line, " ")
			if number, isLine := strings.CutPrefix(text, "line "); isLine {
				number, _, _ = strings.Cut(number, " ")
				require.Equal(t, strconv.Itoa(next), number, "a line is missing")
				next++
			}
		case <-limit:
			require.Fail(t, "lines are missing", "%d came", next)
		}
	}
	t.Logf("%d MB of log followed in %s", count*length>>20, time.Since(began))
	assert.Equal(t, count, bytes.Count([]byte(api.wholeLog("talks")), []byte("line ")))
}

func (c *client) printLines(pod string, count, length int) {
	c.t.Helper()
	c.mustAsk(http.MethodPost, pod, "/print", url.Values{
		"count": {strconv.Itoa(count)}, "length": {strconv.Itoa(length)},
	})
}

func (c *client) wholeLog(pod string) string {
	c.t.Helper()
	stream, err := c.streams.CoreV1().Pods("default").
		GetLogs(pod, &core.PodLogOptions{}).Stream(c.t.Context())
	require.NoError(c.t, err)
	defer func() { _ = stream.Close() }()
	text, err := io.ReadAll(stream)
	require.NoError(c.t, err)
	return string(text)
}

// pausedLogs pauses a kubelet: what the pod prints meanwhile comes when it goes on, on the
// stream that was open before.
func pausedLogs(t *testing.T, r *running, api *client) {
	t.Helper()
	pod := workload("held")
	pod.Spec.NodeSelector = map[string]string{core.LabelHostname: "one"}
	api.run(pod)
	lines := api.followLog("held")
	awaitLine(t, lines, `"event":"start"`, 10*time.Second)
	const hold = 5 * time.Second
	paused := r.must(cluster.Command{Do: "pause-kubelet", Node: "one"})
	time.Sleep(time.Second)
	api.printLines("held", 100, 10) // the API server reaches the pod, not the kubelet
	time.Sleep(hold - time.Since(paused.At))
	select {
	case line := <-lines:
		require.Fail(t, "a line while the kubelet is paused", line)
	default:
	}
	resumed := r.must(cluster.Command{Do: "resume-kubelet", Node: "one"})
	at := awaitLine(t, lines, "line 99 x", 20*time.Second)
	t.Logf("lines of a pause of %s came %s after its end", hold,
		time.Since(resumed.At).Round(time.Millisecond))
	assert.Less(t, at.Sub(paused.At), hold, "the time of the line is when it was printed")
}
