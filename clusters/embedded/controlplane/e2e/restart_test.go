//go:build embedded

package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// restart ends containers by themselves and watches the kubelet start them again, in the same
// pod: same address, same emptyDir.
func restart(t *testing.T, _ *running, api *client) {
	t.Helper()
	for name, code := range map[string]string{"ends-well": "0", "ends-killed": "137"} {
		pod := workload(name)
		withScratch(pod)
		before := api.run(pod)
		api.mustAsk(http.MethodPost, name, "/write",
			url.Values{"path": {"/scratch/kept"}, "text": {"kept " + code}})
		api.mustAsk(http.MethodPost, name, "/exit", url.Values{"code": {code}})
		require.Eventually(t, func() bool {
			statuses := api.pod(name).Status.ContainerStatuses
			return len(statuses) == 1 && statuses[0].RestartCount == 1 &&
				statuses[0].State.Running != nil
		}, 20*time.Second, 20*time.Millisecond)
		after := api.pod(name)
		assert.Equal(t, before.Status.PodIP, after.Status.PodIP)
		ended := after.Status.ContainerStatuses[0].LastTerminationState.Terminated
		require.NotNil(t, ended)
		assert.Equal(t, code, strconv.Itoa(int(ended.ExitCode)))
		require.Eventually(t, func() bool {
			text, err := api.ask(http.MethodGet, name, "/read",
				url.Values{"path": {"/scratch/kept"}}, "")
			return err == nil && text == "kept "+code
		}, 10*time.Second, 20*time.Millisecond, "the emptyDir is lost")

		exit := rowAt(t, api.log(name, true), "exit")
		end := rowAt(t, api.log(name, true), "end")
		again := rowAt(t, api.log(name, false), "start")
		t.Logf("exit code %s: new process %s after the old one's end", code,
			again.Sub(end).Round(time.Millisecond))
		assert.False(t, end.Before(exit))
		assert.Less(t, again.Sub(end), 5*time.Second, "the first restart is at once")
	}
}

// rowAt returns when testpod printed the event.
func rowAt(t *testing.T, log, event string) time.Time {
	t.Helper()
	for line := range strings.Lines(log) {
		var one row
		if err := json.Unmarshal([]byte(line), &one); err == nil && one.Event == event {
			return one.At
		}
	}
	require.Fail(t, "no row in the log", "%s: %s", event, log)
	return time.Time{}
}
