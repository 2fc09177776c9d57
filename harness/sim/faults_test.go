package sim_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// proofs returns the details of an action's proofs.
func (r rows) proofs(action string) (details []string) {
	for _, row := range r {
		if row.Kind == record.Proof && row.Action == action {
			details = append(details, row.Detail)
		}
	}
	return details
}

// reloads returns when each pod took a generation of the leaf into use first.
func (r rows) reloads(leaf string) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, row := range r {
		if row.Kind == record.Reload && row.Outcome == record.OK && row.Own.Leaf == leaf {
			if _, seen := out[row.Source]; !seen {
				out[row.Source] = row.To
			}
		}
	}
	return out
}

func act(id string, fault int, at time.Duration, verb scenarios.Verb) scenarios.Action {
	return scenarios.Action{ID: id, Fault: fault, At: at, Verb: verb}
}

func TestHeldSyncDelaysUntilItIsReleased(t *testing.T) {
	pause := act("pause", 0, 9*time.Minute, scenarios.PauseSync)
	resume := act("resume", 0, 20*time.Minute, scenarios.ResumeSync)
	pause.Node, resume.Node = "node", "node"
	leaf := rotateLeaf(10 * time.Minute)
	leaf.Fault = 1
	got := perform(t, setup{
		peers: 4, horizon: 30 * time.Minute, actions: []scenarios.Action{pause, leaf, resume},
	}.plan())
	adopted := got.reloads("leaf/2")
	require.Len(t, adopted, 4)
	for pod, at := range adopted {
		assert.Equal(t, 20*time.Minute, at, "%s syncs at the very moment of the release", pod)
	}
	require.Len(t, got.proofs("pause"), 1)
	assert.Regexp(t, `^the due sync of peers-\d was held$`, got.proofs("pause")[0])
	assert.Equal(t, []string{"syncs go on"}, got.proofs("resume"))
}

func TestHoldTooShortToMatterHasNoProof(t *testing.T) {
	pause := act("pause", 0, 10*time.Minute, scenarios.PauseSync)
	resume := act("resume", 0, 10*time.Minute+time.Millisecond, scenarios.ResumeSync)
	pause.Node, resume.Node = "node", "node"
	got := perform(t, setup{
		peers: 2, horizon: 20 * time.Minute, actions: []scenarios.Action{pause, resume},
	}.plan())
	assert.Empty(t, got.proofs("pause"))
}

func TestConfiguredKubeletSyncsAsItRestartsAndFaster(t *testing.T) {
	set := act("set", 0, 10*time.Minute+time.Second, scenarios.ConfigureKubelet)
	set.Node = "node"
	set.Kubelet = &scenarios.PlannedNode{
		SyncFrequency: 2 * time.Second, ChangeDetection: scenarios.Get,
	}
	first := rotateLeaf(10 * time.Minute)
	second := rotateLeaf(15 * time.Minute)
	second.ID, first.Fault, second.Fault = "again", 1, 2
	got := perform(t, setup{
		peers: 8, sync: 10 * time.Minute, horizon: 20 * time.Minute,
		actions: []scenarios.Action{first, set, second},
	}.plan())
	for pod, at := range got.reloads("leaf/2") {
		assert.LessOrEqual(t, at, 10*time.Minute+time.Second, pod)
	}
	adopted := got.reloads("leaf/3")
	require.Len(t, adopted, 8)
	for pod, at := range adopted {
		assert.LessOrEqual(t, at, 15*time.Minute+4*time.Second, pod)
	}
}

func TestCachingKubeletAddsItsTTL(t *testing.T) {
	plan := setup{
		peers: 1, horizon: 500 * time.Hour, dialEvery: -1, sync: 10 * time.Second,
		duration: unlocked, renewBefore: time.Hour,
	}.plan()
	plan.Nodes[0].ChangeDetection = scenarios.Cache
	plan.Nodes[0].CacheTTL = 5 * time.Minute
	var longest, sum time.Duration
	n := 0
	for _, row := range perform(t, plan) {
		if row.Kind == record.Reload && row.From > 0 {
			n++
			sum += row.To - row.From
			longest = max(longest, row.To-row.From)
		}
	}
	require.Greater(t, n, 400)
	// Fetches are TTL + a residual of 10 to 15 s apart, and the only pod's sync is the fetch.
	assert.InDelta(t, 153, (sum / time.Duration(n)).Seconds(), 8)
	assert.InDelta(t, 310, longest.Seconds(), 6)
}

func TestSkewedClockSeesTheFutureExactlyAsLong(t *testing.T) {
	const skew = 30 * time.Second
	set := act("skew", 0, 5*time.Minute, scenarios.SetClock)
	set.Pods, set.Skew = []string{"peers-0"}, -skew
	leaf := rotateLeaf(10 * time.Minute)
	leaf.Fault = 1
	got := perform(t, setup{
		peers: 5, sync: time.Second, horizon: 20 * time.Minute, dialEvery: 10 * time.Millisecond,
		actions: []scenarios.Action{set, leaf},
	}.plan())
	var last time.Duration
	for _, row := range got {
		if row.Kind != record.Handshake || !row.Outcome.Failed() {
			continue
		}
		assert.Equal(t, record.NotYetValid, row.Outcome)
		behind := row.Source
		if row.Side == record.Server {
			behind = row.Peer
		}
		assert.Equal(t, "peers-0", behind, "the end whose clock is behind rejects")
		last = max(last, row.To)
	}
	// The leaf was issued at 10m0.05s with notBefore 10m0s, which that clock reads at 10m30s.
	assert.InDelta(t, (10*time.Minute + skew).Seconds(), last.Seconds(), 0.05)
	assert.Equal(t, []string{"its process clock is off by -30s"}, got.proofs("skew"))
}

func TestRestartedPodDropsAndRejoins(t *testing.T) {
	restart := act("restart", 0, 10*time.Minute, scenarios.RestartPods)
	restart.Pods, restart.Mode, restart.Downtime = []string{"peers-1"}, "pod", 5*time.Second
	got := perform(t, setup{
		peers: 4, horizon: 20 * time.Minute, actions: []scenarios.Action{restart},
	}.plan())
	kinds := map[record.Kind]int{}
	for _, row := range got {
		kinds[row.Kind]++
	}
	assert.Equal(t, 2, kinds[record.Drop], "the ring's associations to and from the pod")
	assert.Equal(t, 1, kinds[record.Down])
	assert.Equal(t, 1, kinds[record.Up])
	counts := got.attempts()
	assert.Equal(t, int64(50), counts[record.Skipped], "5 s at 10/s")
	assert.InDelta(t, 50, counts[record.Unreachable], 2, "a third of the others' attempts")
	total := counts[record.OK] + counts[record.Skipped] + counts[record.Unreachable]
	assert.Equal(t, int64(4*12000), total)
	established := 0
	for _, row := range got {
		if row.Kind == record.Associate && row.Outcome == record.OK && row.From > 0 {
			established++
			assert.InDelta(t, 605, row.From.Seconds(), 1)
		}
	}
	assert.Equal(t, 2, established)
	assert.Equal(t, []string{"a new process runs"}, got.proofs("restart"))
}

func TestKilledProcessLosesUnflushedRows(t *testing.T) {
	kill := act("kill", 0, 10*time.Minute, scenarios.RestartPods)
	kill.Pods, kill.Mode, kill.Downtime = []string{"peers-1"}, "kill", time.Second
	got := perform(t, setup{
		peers: 4, horizon: 20 * time.Minute, actions: []scenarios.Action{kill},
	}.plan())
	var total int64
	for _, n := range got.attempts() {
		total += n
	}
	missing := 4*12000 - total
	assert.Positive(t, missing)
	assert.LessOrEqual(t, missing, int64(10), "at most a second's attempts")
}

func TestStoppedCertManagerCatchesUp(t *testing.T) {
	stop := act("stop", 0, time.Hour, scenarios.StopIssuer)
	start := act("start", 0, 3*time.Hour, scenarios.StartIssuer)
	got := perform(t, setup{
		peers: 2, horizon: 4 * time.Hour, duration: 3 * time.Hour, renewBefore: time.Hour,
		actions: []scenarios.Action{stop, start},
	}.plan())
	for _, row := range got {
		if row.Kind == record.Write && row.Source == leafSecret && row.From > 0 {
			assert.Equal(t, 3*time.Hour+50*time.Millisecond, row.From,
				"the renewal due at 2h waits for the start")
		}
	}
}

func TestFailingIssuerBacksOffForLongerThanItsOutage(t *testing.T) {
	fail := act("fail", 0, 90*time.Minute, scenarios.StopIssuer)
	mend := act("mend", 0, 150*time.Minute, scenarios.StartIssuer)
	fail.Mode, mend.Mode = "fail", "fail"
	fail.Issuer, mend.Issuer = caName, caName
	got := perform(t, setup{
		peers: 2, horizon: 8 * time.Hour, duration: 3 * time.Hour, renewBefore: time.Hour,
		actions: []scenarios.Action{fail, mend},
	}.plan())
	var attempts []time.Duration
	for _, row := range got {
		if row.Kind == record.Issue && row.Source == leafName && row.From > 0 {
			attempts = append(attempts, row.From.Truncate(time.Minute))
		}
	}
	require.GreaterOrEqual(t, len(attempts), 2)
	assert.Equal(t, []time.Duration{2 * time.Hour, 3 * time.Hour}, attempts[:2],
		"failed at 2h, mended at 2h30m, retried only after the hour's back-off")
}

func TestDeletedSecretIsIssuedAgain(t *testing.T) {
	remove := act("remove", 0, 10*time.Minute, scenarios.RemoveSecret)
	remove.Secrets = []string{leafSecret}
	got := perform(t, setup{
		peers: 3, horizon: 20 * time.Minute, actions: []scenarios.Action{remove},
	}.plan())
	assert.Zero(t, got.failures(), "running pods keep their files meanwhile")
	assert.Len(t, got.reloads("leaf/2"), 3)
}

func TestNewPodWaitsForItsDeletedSecret(t *testing.T) {
	stop := act("stop", 0, 9*time.Minute, scenarios.StopIssuer)
	remove := act("remove", 1, 10*time.Minute, scenarios.RemoveSecret)
	remove.Secrets = []string{leafSecret}
	restart := act("restart", 2, 11*time.Minute, scenarios.RestartPods)
	restart.Pods, restart.Mode, restart.Downtime = []string{"peers-0"}, "pod", time.Second
	start := act("start", 0, 20*time.Minute, scenarios.StartIssuer)
	got := perform(t, setup{
		peers: 3, horizon: 30 * time.Minute,
		actions: []scenarios.Action{stop, remove, restart, start},
	}.plan())
	for _, row := range got {
		if row.Kind == record.Down {
			assert.Equal(t, 11*time.Minute, row.From)
			assert.Greater(t, row.To, 20*time.Minute)
			assert.Equal(t, "its volume cannot be mounted", row.Detail)
		}
	}
	assert.Positive(t, got.attempts()[record.Skipped])
}

func TestTrimmedBundleNarrowsTrust(t *testing.T) {
	steps := bundleSwap(10*time.Minute, 20*time.Minute)
	trim := act("trim", 1, 25*time.Minute, scenarios.TrimBundle)
	trim.Secrets, trim.Keep = []string{leafSecret}, 1
	actions := append(steps[:2:2], trim, steps[2])
	got := perform(t, setup{peers: 4, horizon: time.Hour, actions: actions}.plan())
	assert.Equal(t, []string{"ca.crt holds ca/1"}, got.proofs("trim"))
	assert.Positive(t, got.failures(), "the new leaf meets peers that trust the old CA alone")
}

func TestTrimmingNothingHasNoProof(t *testing.T) {
	trim := act("trim", 0, 10*time.Minute, scenarios.TrimBundle)
	trim.Secrets, trim.Keep = []string{leafSecret}, 1
	got := perform(t, setup{
		peers: 2, horizon: 20 * time.Minute, actions: []scenarios.Action{trim},
	}.plan())
	assert.Empty(t, got.proofs("trim"))
}

func TestTornPairByReader(t *testing.T) {
	for _, c := range []struct {
		name      string
		pairCheck string
		keep      bool
		want      record.Outcome
	}{
		{"Java keeps it and fails in handshakes", "none", false, record.BadSignature},
		{"Go refuses it and has nothing else", "match", false, record.NoCredential},
		{"Go refuses it and serves the last good one", "match", true, record.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			stop := act("stop", 0, 9*time.Minute, scenarios.StopIssuer)
			tear := act("tear", 1, 10*time.Minute, scenarios.WriteTornPair)
			mend := act("mend", 1, 15*time.Minute, scenarios.RestorePair)
			tear.Secrets, mend.Secrets = []string{leafSecret}, []string{leafSecret}
			plan := setup{
				peers: 4, ttl: time.Minute, horizon: 30 * time.Minute,
				actions: []scenarios.Action{stop, tear, mend},
			}.plan()
			plan.Peers[0].PairCheck, plan.Peers[0].KeepLastGood = c.pairCheck, c.keep
			counts := perform(t, plan).attempts()
			assert.Positive(t, counts[c.want])
			delete(counts, record.OK)
			delete(counts, c.want)
			assert.Empty(t, counts)
		})
	}
}

func TestTornPairInAManagedSecretIsMendedAtOnce(t *testing.T) {
	tear := act("tear", 0, 10*time.Minute, scenarios.WriteTornPair)
	tear.Secrets = []string{leafSecret}
	got := perform(t, setup{
		peers: 4, horizon: 20 * time.Minute, actions: []scenarios.Action{tear},
	}.plan())
	var writes []time.Duration
	for _, row := range got {
		if row.Kind == record.Write && row.Source == leafSecret && row.From > 0 {
			writes = append(writes, row.From)
		}
	}
	assert.Equal(t, []time.Duration{10 * time.Minute, 10*time.Minute + 50*time.Millisecond}, writes,
		"cert-manager's SecretPublicKeysDiffer policy issues anew")
}

// TestReadStraddlingASwap: a file-by-file read that a swap falls into sees the old ca.crt with the
// new pair, or the old pair's certificate with the new key.
func TestReadStraddlingASwap(t *testing.T) {
	plan := setup{
		peers: 40, ttl: time.Minute, horizon: 40 * time.Hour, dialEvery: time.Second,
		duration: unlocked, renewBefore: time.Hour,
	}.plan()
	plan.Peers[0].Pinned, plan.Peers[0].ReadGap = false, 2*time.Second
	plan.Peers[0].PairCheck = "none"
	torn, reads := 0, 0
	for _, row := range perform(t, plan) {
		if row.Kind == record.Reload && row.From > 0 {
			reads++
			if row.Own.Torn {
				torn++
			}
		}
	}
	// Of a minute between reads, a swap within 2 s after the certificate's open tears the pair.
	assert.InDelta(t, 2.0/60, float64(torn)/float64(reads), 0.012)

	plan.Peers[0].Pinned = true
	for _, row := range perform(t, plan) {
		if row.Kind == record.Reload {
			require.False(t, row.Own.Torn, "a pinned read is never torn")
		}
	}
}

func TestAkkaCipherRefusesAnECDSALeaf(t *testing.T) {
	plan := setup{peers: 2, horizon: time.Minute}.plan()
	plan.Peers[0].MaxVersion = tls.VersionTLS12
	plan.Peers[0].CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	assert.Equal(t,
		map[record.Outcome]int64{record.NoSharedParameters: 1200}, perform(t, plan).attempts())
}

func TestCrossSignedSwapNeedsNoWait(t *testing.T) {
	swap := func(crossSign bool) []scenarios.Action {
		hold := act("hold", 0, 10*time.Minute, scenarios.PublishTrust)
		hold.Secrets, hold.Authority = []string{leafSecret}, caName
		hold.Trust = []scenarios.AuthorityRef{scenarios.Previous, scenarios.Current}
		hold.Hold, hold.NextWrite, hold.CrossSign = true, true, crossSign
		ca := act("ca", 0, 10*time.Minute, scenarios.Reissue)
		ca.Certificates = []string{caName}
		return []scenarios.Action{ca, hold, rotateLeaf(10 * time.Minute)}
	}
	plan := func(crossSign bool) scenarios.Plan {
		return setup{peers: 6, horizon: 30 * time.Minute, actions: swap(crossSign)}.plan()
	}
	assert.Zero(t, perform(t, plan(true)).failures())
	assert.Positive(t, perform(t, plan(false)).failures(), "bundle and leaf in one write")
}

func TestWatchOnceMissesTheSecondRotation(t *testing.T) {
	first, second := rotateLeaf(10*time.Minute), rotateLeaf(20*time.Minute)
	second.ID, second.Fault = "second", 1
	plan := setup{
		peers: 3, horizon: 40 * time.Minute, actions: []scenarios.Action{first, second},
	}.plan()
	plan.Peers[0].Policy = "watch-once"
	got := perform(t, plan)
	assert.Len(t, got.reloads("leaf/2"), 3)
	assert.Empty(t, got.reloads("leaf/3"))
	unread := 0
	for _, row := range got {
		if row.Kind == record.Project && row.Own.Leaf == "leaf/3" {
			unread++
		}
	}
	assert.Equal(t, 3, unread, "the kubelet did deliver it")
}
