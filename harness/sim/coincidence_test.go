package sim_test

import (
	"slices"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// Faults that meet: each of these was a wrong verdict once.

func restartOf(pod, mode string, at, downtime time.Duration) scenarios.Action {
	a := act("restart "+pod, 90, at, scenarios.RestartPods)
	a.Pods, a.Mode, a.Downtime = []string{pod}, mode, downtime
	return a
}

// byTime gives every action a fault of its own and puts them in order.
func byTime(actions ...scenarios.Action) []scenarios.Action {
	for i := range actions {
		actions[i].Fault = i
	}
	slices.SortStableFunc(actions, func(a, b scenarios.Action) int { return int(a.At - b.At) })
	return actions
}

// ofKind returns the rows of a kind.
func (r rows) ofKind(kind record.Kind) (found rows) {
	for _, row := range r {
		if row.Kind == kind {
			found = append(found, row)
		}
	}
	return found
}

func TestSecretWrittenWhileAContainerIsDownStillArrives(t *testing.T) {
	for _, mode := range []string{"pod", "container", "kill"} {
		got := perform(t, setup{
			peers: 3, horizon: time.Hour,
			actions: byTime(restartOf("peers-0", mode, 595*time.Second, 10*time.Second),
				rotateLeaf(10*time.Minute)),
		}.plan())
		assert.Len(t, got.reloads("leaf/2"), 3, mode)
	}
}

func TestHeldSyncIsDoneAtTheReleaseWhateverChangedWhen(t *testing.T) {
	const change, release = 640 * time.Second, 642 * time.Second
	pause := act("pause", 0, 9*time.Minute, scenarios.PauseSync)
	resume := act("resume", 0, release, scenarios.ResumeSync)
	pause.Node, resume.Node = "node", "node"
	again := pause
	again.ID, again.At = "pause again", 10*time.Minute
	got := perform(t, setup{
		peers: 6, horizon: 20 * time.Minute,
		actions: byTime(pause, again, rotateLeaf(change), resume),
	}.plan())
	adopted := got.reloads("leaf/2")
	require.Len(t, adopted, 6)
	for pod, at := range adopted {
		assert.Equal(t, release, at, "%s had a sync held in the 102 s of the pause", pod)
	}
}

func TestCacheIsFetchedAgainAfterNobodyMountedTheSecret(t *testing.T) {
	second, third := rotateLeaf(time.Hour), rotateLeaf(2*time.Hour)
	second.ID, third.ID = "second", "third"
	plan := setup{
		peers: 1, horizon: 3 * time.Hour,
		actions: byTime(restartOf("peers-0", "pod", 595*time.Second, 10*time.Second),
			rotateLeaf(10*time.Minute), second, third),
	}.plan()
	plan.Nodes[0].ChangeDetection, plan.Nodes[0].CacheTTL = scenarios.Cache, time.Minute
	got := perform(t, plan)
	for _, leaf := range []string{"leaf/2", "leaf/3", "leaf/4"} {
		assert.Len(t, got.reloads(leaf), 1, leaf)
	}
}

func TestKubeletRestartedWithACacheHasNoOldContent(t *testing.T) {
	const restarted = 2 * time.Minute
	set := act("set", 0, restarted, scenarios.ConfigureKubelet)
	set.Node = "node"
	set.Kubelet = &scenarios.PlannedNode{
		SyncFrequency: 10 * time.Second, ChangeDetection: scenarios.Cache,
		CacheTTL: 10 * time.Minute,
	}
	for _, before := range []scenarios.ChangeDetection{scenarios.Watch, scenarios.Cache} {
		plan := setup{
			peers: 1, sync: 10 * time.Second, horizon: 30 * time.Minute,
			actions: byTime(rotateLeaf(time.Minute), set),
		}.plan()
		plan.Nodes[0].ChangeDetection, plan.Nodes[0].CacheTTL = before, 10*time.Minute
		var used []string
		for _, row := range perform(t, plan).ofKind(record.Reload) {
			used = append(used, row.Own.Leaf)
			assert.LessOrEqual(t, row.To, restarted, "%s: all is read anew at the restart", before)
		}
		assert.Equal(t, []string{"leaf/1", "leaf/2"}, used, before)
	}
}

// clientAndServer is one pod that dials another of a second workload, without associations.
func clientAndServer(s setup) scenarios.Plan {
	plan := s.plan()
	server := plan.Peers[0]
	server.Workload, server.Associations = "servers", "none"
	plan.Peers[0].Associations = "none"
	plan.Peers = append(plan.Peers, server)
	pod := plan.Pods[0]
	pod.Name, pod.Workload = "servers-0", "servers"
	plan.Pods = append(plan.Pods, pod)
	plan.Streams = plan.Streams[:1]
	plan.Streams[0].To = []string{"servers"}
	return plan
}

func TestServerReloadsWhenItsOnlyClientIsBack(t *testing.T) {
	got := perform(t, clientAndServer(setup{
		peers: 1, ttl: time.Minute, horizon: time.Hour,
		actions: byTime(restartOf("peers-0", "pod", 599*time.Second, 10*time.Minute),
			abruptSwap(10*time.Minute)),
	}))
	back := 599*time.Second + 10*time.Minute
	assert.InDelta(t, back.Seconds(), got.reloads("leaf/2")["servers-0"].Seconds(), 0.2)
	assert.Zero(t, got.failures(), "the client reads the new files as it starts")
}

func TestNearerDemandMovesAReloadForward(t *testing.T) {
	plan := setup{
		peers: 4, ttl: time.Minute, horizon: 100 * time.Hour, dialEvery: 20 * time.Hour,
		duration: 2000 * time.Hour, renewBefore: time.Hour,
		actions: byTime(rotateLeaf(10*time.Minute),
			restartOf("peers-1", "pod", 30*time.Minute, 10*time.Second)),
	}.plan()
	adopted := perform(t, plan).reloads("leaf/2")
	assert.LessOrEqual(t, adopted["peers-0"], 31*time.Minute)
	assert.LessOrEqual(t, adopted["peers-2"], 31*time.Minute)
}

// TestEveryPairIsLookedAgainWhenValidityChanges: peers-3 comes up at the very second at which the
// skewed clock sees the new leaf begin, and asks for the verdict first.
func TestEveryPairIsLookedAgainWhenValidityChanges(t *testing.T) {
	set := act("skew", 0, 5*time.Minute, scenarios.SetClock)
	set.Pods, set.Skew = []string{"peers-0"}, -time.Minute
	got := perform(t, setup{
		peers: 5, sync: time.Second, horizon: time.Hour,
		actions: byTime(set, restartOf("peers-3", "pod", 595*time.Second, 65*time.Second),
			rotateLeaf(10*time.Minute)),
	}.plan())
	for _, row := range got.ofKind(record.Handshake) {
		if row.Outcome == record.NotYetValid {
			assert.LessOrEqual(t, row.To, 11*time.Minute)
		}
	}
	assert.Positive(t, got.attempts()[record.NotYetValid])
}

func TestRestoredCASecretReleasesWhatWaits(t *testing.T) {
	stop := act("stop", 0, 9*time.Minute, scenarios.StopIssuer)
	stop.Issuer = "/self-signed"
	remove := act("remove", 0, 10*time.Minute, scenarios.RemoveSecret)
	restore := act("restore", 0, 20*time.Minute, scenarios.RestoreSecret)
	remove.Secrets, restore.Secrets = []string{"default/ca-tls"}, []string{"default/ca-tls"}
	got := perform(t, setup{
		peers: 2, horizon: time.Hour,
		actions: byTime(stop, remove, rotateLeaf(15*time.Minute), restore),
	}.plan())
	var outcomes []record.Outcome
	for _, row := range got.ofKind(record.Issue) {
		if row.Source == leafName {
			outcomes = append(outcomes, row.Outcome)
		}
	}
	assert.Equal(t, []record.Outcome{record.OK, record.NoCredential, record.OK}, outcomes)
	assert.Len(t, got.reloads("leaf/2"), 2)
}

func TestRestartThatHasToWaitIsProvedInTheEnd(t *testing.T) {
	t.Run("for its Secret", func(t *testing.T) {
		stop := act("stop", 0, 9*time.Minute, scenarios.StopIssuer)
		start := act("start", 0, 20*time.Minute, scenarios.StartIssuer)
		remove := act("remove", 0, 10*time.Minute, scenarios.RemoveSecret)
		remove.Secrets = []string{leafSecret}
		got := perform(t, setup{
			peers: 3, horizon: 30 * time.Minute,
			actions: byTime(stop, remove,
				restartOf("peers-0", "pod", 11*time.Minute, time.Second), start),
		}.plan())
		assert.Len(t, got.proofs("restart peers-0"), 1)
	})
	for _, mode := range []string{"pod", "container"} {
		t.Run("for its kubelet, "+mode, func(t *testing.T) {
			pause := act("pause", 0, 9*time.Minute, scenarios.PauseSync)
			resume := act("resume", 0, 19*time.Minute, scenarios.ResumeSync)
			pause.Node, resume.Node = "node", "node"
			got := perform(t, setup{
				peers: 2, horizon: 30 * time.Minute,
				actions: byTime(pause,
					restartOf("peers-0", mode, 10*time.Minute, time.Second), resume),
			}.plan())
			up := got.ofKind(record.Up)
			require.Len(t, up, 1)
			assert.GreaterOrEqual(t, up[0].From, 19*time.Minute)
			assert.Len(t, got.proofs("restart peers-0"), 1)
		})
	}
}

func TestBackOffOutlastsARestartOfCertManager(t *testing.T) {
	fail := act("fail", 0, 90*time.Minute, scenarios.StopIssuer)
	mend := act("mend", 0, 125*time.Minute, scenarios.StartIssuer)
	fail.Mode, mend.Mode, fail.Issuer, mend.Issuer = "fail", "fail", caName, caName
	stop := act("stop", 0, 130*time.Minute, scenarios.StopIssuer)
	start := act("start", 0, 131*time.Minute, scenarios.StartIssuer)
	got := perform(t, setup{
		peers: 1, horizon: 4 * time.Hour, duration: 3 * time.Hour, renewBefore: time.Hour,
		actions: byTime(fail, mend, stop, start),
	}.plan())
	issued := got.reloads("leaf/2")
	require.Len(t, issued, 1)
	assert.GreaterOrEqual(t, issued["peers-0"], 3*time.Hour)
}

func TestKeyIsLostWithItsSecret(t *testing.T) {
	remove := act("remove", 0, 10*time.Minute, scenarios.RemoveSecret)
	remove.Secrets = []string{"default/ca-tls"}
	plan := setup{
		peers: 4, horizon: time.Hour, actions: byTime(remove, rotateLeaf(15*time.Minute)),
	}.plan()
	plan.World.Certificates[0].Spec.PrivateKey.RotationPolicy = certmanager.RotationPolicyNever
	assert.Positive(t, perform(t, plan).failures(), "even Never makes a new key then")
}

func TestEqualPayloadIsNoChange(t *testing.T) {
	stop := act("stop", 0, 9*time.Minute, scenarios.StopIssuer)
	start := act("start", 0, 20*time.Minute, scenarios.StartIssuer)
	remove := act("remove", 0, 10*time.Minute, scenarios.RemoveSecret)
	restore := act("restore", 0, 15*time.Minute, scenarios.RestoreSecret)
	remove.Secrets, restore.Secrets = []string{leafSecret}, []string{leafSecret}
	plan := setup{
		peers: 2, horizon: time.Hour,
		actions: byTime(stop, remove, restore, start, rotateLeaf(30*time.Minute)),
	}.plan()
	plan.Peers[0].Policy = "watch-once"
	got := perform(t, plan)
	assert.Len(t, got.reloads("leaf/2"), 2, "the watcher's one event is the rotation")
	assert.Len(t, got.ofKind(record.Reload), 4)
}

func TestWhatChangesNothingHasNoProof(t *testing.T) {
	publish := act("publish", 0, 10*time.Minute, scenarios.PublishTrust)
	publish.Secrets, publish.Authority = []string{leafSecret}, caName
	publish.Trust = []scenarios.AuthorityRef{scenarios.Current}
	hold := publish
	hold.ID, hold.At, hold.Hold, hold.NextWrite = "hold", 11*time.Minute, true, true
	set := act("skew", 0, 12*time.Minute, scenarios.SetClock)
	set.Pods = []string{"peers-0"}
	remove := act("remove", 0, 13*time.Minute, scenarios.RemoveSecret)
	remove.Secrets = []string{"default/nothing"}
	got := perform(t, setup{
		peers: 2, horizon: 20 * time.Minute, actions: byTime(publish, hold, set, remove),
	}.plan())
	for _, id := range []string{"publish", "hold", "skew", "remove"} {
		assert.Empty(t, got.proofs(id), id)
	}
	for _, row := range got.ofKind(record.Write) {
		assert.Zero(t, row.From, "nothing is written again")
	}
}

// TestBundleKeepsWhatTheLeavesHangOn: the CA was renewed naturally before the swap, so the leaf in
// use is of the last CA but one; the bundle keeps that one.
func TestBundleKeepsWhatTheLeavesHangOn(t *testing.T) {
	renew := act("renew", 9, 5*time.Minute, scenarios.Reissue)
	renew.Certificates = []string{caName}
	actions := append([]scenarios.Action{renew}, bundleSwap(time.Hour, 10*time.Minute)...)
	got := perform(t, setup{peers: 6, horizon: 2 * time.Hour, actions: actions}.plan())
	assert.Equal(t, []string{"ca.crt holds ca/1+ca/3"}, got.proofs("add"))
	assert.Zero(t, got.failures())
}

func TestTornReadLeavesTheSampleToTheGoodOne(t *testing.T) {
	plan := setup{
		peers: 40, ttl: time.Minute, horizon: 10 * time.Hour, dialEvery: time.Second,
		duration: unlocked, renewBefore: time.Hour,
	}.plan()
	plan.Peers[0].Pinned, plan.Peers[0].ReadGap = false, 2*time.Second
	refused, samples := 0, 0
	for _, row := range perform(t, plan).ofKind(record.Reload) {
		if row.Outcome == record.NoCredential {
			refused++
			assert.Equal(t, row.From, row.To)
		} else if row.From < row.To {
			samples++
		}
	}
	assert.Positive(t, refused)
	assert.Equal(t, 40*9, samples, "one for each pod and renewal")
}

func TestUnreadProjectionIsToldOnce(t *testing.T) {
	plan := setup{
		peers: 2, horizon: 30 * time.Minute,
		actions: byTime(rotateLeaf(10*time.Minute),
			restartOf("peers-0", "pod", 20*time.Minute, time.Hour)),
	}.plan()
	plan.Peers[0].Policy = "start-up"
	assert.Len(t, perform(t, plan).ofKind(record.Project), 2)
}

func TestSuccessesDoNotRunOverAnOutage(t *testing.T) {
	got := perform(t, setup{
		peers: 2, horizon: 20 * time.Minute,
		actions: byTime(restartOf("peers-0", "pod", 10*time.Minute, 10*time.Second),
			restartOf("peers-1", "pod", 610500*time.Millisecond, 5*time.Minute)),
	}.plan())
	for _, row := range got.ofKind(record.Handshake) {
		if row.Source == "peers-0" && row.Outcome == record.OK {
			assert.InDelta(t, row.Count, (row.To-row.From)/(100*time.Millisecond)+1, 1.5,
				"a span of successes is uniform: %s to %s", row.From, row.To)
		}
	}
}

func TestCheckRefusesWhatCannotBeIssued(t *testing.T) {
	plan := setup{peers: 2, horizon: time.Minute}.plan()
	plan.World.Issuers[0].Spec.CA.SecretName = "nobody"
	require.ErrorIs(t, sim.New().Check(plan), harness.ErrUnsupported)

	plan = setup{peers: 2, horizon: time.Minute}.plan()
	plan.Start = plan.Start.Add(time.Millisecond)
	require.ErrorIs(t, sim.New().Check(plan), harness.ErrUnsupported)
}
