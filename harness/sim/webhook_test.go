package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func webhookOutage(from, to time.Duration) []scenarios.Action {
	return outage(scenarios.StopWebhook, scenarios.StartWebhook, from, to)
}

func TestWebhookOutageIsProvedAtBothEnds(t *testing.T) {
	got := perform(t, setup{
		peers: 2, horizon: 20 * time.Minute, actions: webhookOutage(10*time.Minute, 11*time.Minute),
	}.plan())
	assert.Equal(t, []string{"it does not answer"}, got.proofs("stop"))
	assert.Equal(t, []string{"it answers"}, got.proofs("start"))
	for _, action := range []string{"stop", "start"} {
		subject, _ := got.provedBy(action)
		assert.Equal(t, "webhook", subject)
	}
	assert.Zero(t, got.failures())
}

// Refused issuances are tried again after 1, 2, 4, 8, 16 and then each 30 s.
func TestIssuanceIsTriedAgainUntilTheWebhookIsBack(t *testing.T) {
	const tried = 10*time.Minute + issuance
	for _, c := range []struct{ back, want time.Duration }{
		{10*time.Minute + 25*time.Millisecond, tried},
		{tried + 500*time.Millisecond, tried + time.Second},
		{tried + time.Second, tried + 3*time.Second}, // a try of that instant comes first
		{tried + 1001*time.Millisecond, tried + 3*time.Second},
		{tried + 20*time.Second, tried + 31*time.Second},
		{tried + 60*time.Second, tried + 61*time.Second},
		{tried + 62*time.Second, tried + 91*time.Second},
	} {
		got := perform(t, setup{
			peers: 2, horizon: 20 * time.Minute, dialEvery: time.Second,
			actions: inOrder(webhookOutage(9*time.Minute, c.back),
				[]scenarios.Action{rotateLeaf(10 * time.Minute)}),
		}.plan())
		assert.Equal(t, []time.Duration{c.want}, got.writes(), "back at %s", c.back)
		refusals := 0
		for _, row := range got {
			if row.Kind == record.Issue && row.Outcome != record.OK {
				refusals++
				assert.Equal(t, "the webhook is down", row.Detail)
				assert.Equal(t, tried, row.From)
			}
		}
		assert.Equal(t, c.back > tried, refusals == 1, "back at %s", c.back)
	}
}

// The wait starts from a second again after an issuance, and in a new process of cert-manager.
func TestWaitForTheWebhookStartsAnew(t *testing.T) {
	const tried = 10*time.Minute + issuance
	t.Run("after an issuance", func(t *testing.T) {
		again, second := rotateLeaf(15*time.Minute), webhookOutage(14*time.Minute, 0)
		again.ID, again.Fault = "again", 1
		second[0].ID, second[1].ID = "stop again", "start again"
		second[0].Fault, second[1].Fault = 8, 8
		second[1].At = 15*time.Minute + 2*time.Second
		got := perform(t, setup{
			peers: 2, horizon: 20 * time.Minute, dialEvery: time.Second, actions: inOrder(
				webhookOutage(9*time.Minute, tried+20*time.Second), second,
				[]scenarios.Action{rotateLeaf(10 * time.Minute), again}),
		}.plan())
		assert.Equal(t, []time.Duration{
			tried + 31*time.Second, 15*time.Minute + issuance + 3*time.Second,
		}, got.writes())
	})
	t.Run("in a new process", func(t *testing.T) {
		stop := act("stop-issuer", 1, 10*time.Minute+40*time.Second, scenarios.StopIssuer)
		start := act("start-issuer", 1, 10*time.Minute+50*time.Second, scenarios.StartIssuer)
		got := perform(t, setup{
			peers: 2, horizon: 20 * time.Minute, dialEvery: time.Second, actions: inOrder(
				webhookOutage(9*time.Minute, 10*time.Minute+55*time.Second),
				[]scenarios.Action{rotateLeaf(10 * time.Minute), stop, start}),
		}.plan())
		assert.Equal(t, []time.Duration{10*time.Minute + 57*time.Second + issuance}, got.writes())
	})
}

// Secrets are none of cert-manager's resources: others write them, but nobody mends them.
func TestTornPairStaysTornWithoutTheWebhook(t *testing.T) {
	tear := act("tear", 1, 10*time.Minute, scenarios.WriteTornPair)
	tear.Secrets = []string{leafSecret}
	got := perform(t, setup{
		peers: 4, horizon: 20 * time.Minute,
		actions: inOrder(webhookOutage(9*time.Minute, 12*time.Minute), []scenarios.Action{tear}),
	}.plan())
	// Refused first at 10m0.05s, then 31 s and three times 30 s later.
	assert.Equal(t, []time.Duration{10 * time.Minute, 10*time.Minute + issuance + 121*time.Second},
		got.writes())
}

func TestLeafExpiresWithoutTheWebhook(t *testing.T) {
	got := perform(t, setup{
		peers: 3, horizon: 2 * time.Hour, duration: time.Hour, renewBefore: 5 * time.Minute,
		actions: webhookOutage(50*time.Minute, 70*time.Minute),
	}.plan())
	assert.Positive(t, got.attempts()[record.Expired])
	late := got.writes()[0]
	assert.GreaterOrEqual(t, late, 70*time.Minute)
	assert.LessOrEqual(t, late, 70*time.Minute+30*time.Second)
}
