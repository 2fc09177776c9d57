package reports

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Every check must be able to pass, to fail and, where it can lack evidence, to say so: a gate that
// cannot fail proves nothing. Each row changes the good scene in one respect.
func TestChecks(t *testing.T) {
	old, fresh := gen("s/1", "root/1"), gen("s/2", "root/2")
	for _, row := range []struct {
		name   string
		check  scenarios.CheckID
		change func(*scene)
		status Status
		reason string
	}{
		{
			"new connections succeed", scenarios.NewConnections, func(*scene) {}, Pass,
			"none of 1,200 new connections failed for a credential reason",
		},
		{
			"peers were down", scenarios.NewConnections, func(s *scene) {
				s.fail("p-0", "p-1", 3*time.Minute, 5, record.Unreachable, nil, nil)
				s.down("p-1", 3*time.Minute, 185*time.Second)
			}, Pass,
			"none of 1,200 new connections failed for a credential reason; 5 found the peer down",
		},
		{
			"new connections fail", scenarios.NewConnections, func(s *scene) {
				s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, fresh, old)
			}, Fail,
			"10 of 1,200 new connections failed for a credential reason, until 2m19s; the " +
				"first was p-0 -> p-1 at 2m10s (unknown-authority: p-0, trusting root/2, was " +
				"shown s/1 issued by root/1)",
		},
		{
			"no load", scenarios.NewConnections, func(s *scene) {
				s.plan.Streams = nil
				s.without(func(r record.Span) bool { return r.Kind == record.Handshake })
			}, Inconclusive,
			"no load: the scenario schedules no new connections",
		},
		{
			"too few attempts after the fault", scenarios.NewConnections, func(s *scene) {
				s.plan.Actions[0].At = 9*time.Minute + 50*time.Second
			}, Inconclusive,
			"only 18 new connections made after 9m50s, fewer than the 30 needed (2 ordered pairs)",
		},
		{
			"no associations", scenarios.Associations, func(*scene) {}, Pass,
			"no workload keeps associations, so none could be lost",
		},
		{
			"associations stand", scenarios.Associations, func(s *scene) {
				s.plan.Peers[0].Associations = "ring"
				s.associate(0, 1, record.OK)
			}, Pass,
			"1 association stood throughout",
		},
		{
			"an association comes back", scenarios.Associations, func(s *scene) {
				s.plan.Peers[0].Associations = "ring"
				s.associate(0, 1, record.OK)
				s.drop(3 * time.Minute)
				s.down("p-1", 3*time.Minute, 185*time.Second)
				s.associate(190*time.Second, 1, record.OK)
			}, Pass,
			"of 1 association, 1 ended and came back, 10s without one in all",
		},
		{
			"an association is kept down", scenarios.Associations, func(s *scene) {
				s.plan.Peers[0].Associations = "ring"
				s.associate(0, 1, record.OK)
				s.drop(3 * time.Minute)
				s.associate(181*time.Second, 9, record.Expired)
			}, Fail,
			"9 attempts to associate failed for a credential reason, until 3m9s; of 1 " +
				"association 1 had not come back when the run ended; the first was p-0 -> p-1 at " +
				"3m1s (expired)",
		},
		{
			"an association is still away", scenarios.Associations, func(s *scene) {
				s.plan.Peers[0].Associations = "ring"
				s.associate(0, 1, record.OK)
				s.drop(599 * time.Second)
				s.down("p-1", 599*time.Second, s.plan.Horizon)
			}, Inconclusive,
			"of 1 association that ended, 1 had not come back when the run did",
		},
		{
			"no association recorded", scenarios.Associations, func(s *scene) {
				s.plan.Peers[0].Associations = "mesh"
			}, Inconclusive,
			"the workloads keep associations but none was recorded",
		},
		{
			"all valid", scenarios.Validity, func(*scene) {}, Pass,
			"none of 1,200 new connections met a certificate outside its validity, and no pod " +
				"used one past its end",
		},
		{
			"an expired certificate is met", scenarios.Validity, func(s *scene) {
				s.fail("p-1", "p-0", 3*time.Minute, 30, record.Expired, old, old)
			}, Fail,
			"30 attempts met a certificate outside its validity, until 3m29s; the first was " +
				"p-1 -> p-0 at 3m (expired: p-1, trusting root/1, was shown s/1 issued by root/1)",
		},
		{
			"an expired certificate is held", scenarios.Validity, func(s *scene) {
				s.rows[1].NotAfter = 2*time.Minute + 4*time.Second
				s.rows[2].NotAfter = 2*time.Minute + 4*time.Second
			}, Fail,
			"twice a leaf stayed in use past its end; the longest was s/1, which p-1 used for " +
				"16s after it ended at 2m4s",
		},
		{
			"no load to show validity", scenarios.Validity, func(s *scene) {
				s.plan.Streams = nil
			}, Inconclusive,
			"no load: the scenario schedules no new connections",
		},
		{
			"trust holds", scenarios.TrustGap, func(*scene) {}, Pass,
			"1,200 new connections, and each end trusted the other's CA",
		},
		{
			"trust gap", scenarios.TrustGap, func(s *scene) {
				s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, fresh, old)
			}, Fail,
			"10 attempts met a CA that the other end did not trust, from 2m10s to 2m19s; the " +
				"first was p-0 -> p-1 at 2m10s (unknown-authority: p-0, trusting root/2, was " +
				"shown s/1 issued by root/1)",
		},
		{
			"trust gap under another name", scenarios.TrustGap, func(s *scene) {
				s.fail("p-0", "p-1", 130*time.Second, 1, record.CertificateRequired, fresh, old)
			}, Fail,
			"1 attempt met a CA that the other end did not trust, from 2m10s to 2m10s; the " +
				"first was p-0 -> p-1 at 2m10s (certificate-required: p-0, trusting root/2, was " +
				"shown s/1 issued by root/1)",
		},
		{
			"another reason for no certificate", scenarios.TrustGap, func(s *scene) {
				s.fail("p-0", "p-1", 130*time.Second, 1, record.CertificateRequired, old, old)
			}, Pass,
			"1,200 new connections, and each end trusted the other's CA",
		},
		{
			"no load to show trust", scenarios.TrustGap, func(s *scene) {
				s.plan.Streams = nil
			}, Inconclusive,
			"no load: the scenario schedules no new connections",
		},
		{
			"no CA withdrawn", scenarios.StaleTrust, func(*scene) {}, Pass,
			"no CA was withdrawn, so none could stay trusted",
		},
		{
			"a withdrawn CA is forgotten", scenarios.StaleTrust, func(s *scene) {
				s.write(3*time.Minute, fresh)
				s.use("p-0", 3*time.Minute, 190*time.Second, fresh)
				s.use("p-1", 3*time.Minute, 191*time.Second, fresh)
			}, Pass,
			"a CA was withdrawn once; no pod trusted it longer than the bound of 26.3s",
		},
		{
			"a withdrawn CA stays trusted", scenarios.StaleTrust, func(s *scene) {
				s.write(3*time.Minute, fresh)
				s.use("p-0", 3*time.Minute, 190*time.Second, fresh)
				s.use("p-1", 3*time.Minute, 5*time.Minute, fresh)
			}, Fail,
			"1 pod trusted a withdrawn CA beyond the bound; the longest was root/1, withdrawn " +
				"at 3m and trusted by p-1 for 2m after that (bound 26.3s)",
		},
		{
			"a withdrawn CA comes back in time", scenarios.StaleTrust, func(s *scene) {
				s.write(3*time.Minute, fresh)
				s.write(190*time.Second, gen("s/3", "root/1"))
			}, Pass,
			"a CA was withdrawn once; no pod trusted it longer than the bound of 26.3s",
		},
		{
			"a CA is withdrawn at the end", scenarios.StaleTrust, func(s *scene) {
				s.write(595*time.Second, fresh)
			}, Inconclusive,
			"a CA was withdrawn once, but the record ends before the bound was over",
		},
		{
			"a bound for stale trust of its own", scenarios.StaleTrust, func(s *scene) {
				s.plan.Expect.StaleTrust = &scenarios.Within{
					Within: scenarios.Duration(5 * time.Second),
				}
				s.write(3*time.Minute, fresh)
				s.use("p-0", 3*time.Minute, 184*time.Second, fresh)
				s.use("p-1", 3*time.Minute, 186*time.Second, fresh)
			}, Fail,
			"1 pod trusted a withdrawn CA beyond the bound; the longest was root/1, withdrawn " +
				"at 3m and trusted by p-1 for 6s after that (bound 5s)",
		},
		{
			"pairs match", scenarios.TornPair, func(*scene) {}, Pass,
			"2 reloads, and each time key and certificate belonged together",
		},
		{
			"a torn pair is used", scenarios.TornPair, func(s *scene) {
				torn := *fresh
				torn.Torn = true
				s.use("p-0", 2*time.Minute, 4*time.Minute, &torn)
			}, Fail,
			"once a key was taken into use with a certificate it does not belong to; the " +
				"first time by p-0 at 4m (s/2)",
		},
		{
			"a torn pair is met", scenarios.TornPair, func(s *scene) {
				s.fail("p-0", "p-1", 3*time.Minute, 2, record.BadSignature, old, fresh)
			}, Fail,
			"2 attempts met a peer that does not hold its certificate's key; the first was " +
				"p-0 -> p-1 at 3m (bad-signature: p-0, trusting root/1, was shown s/2 issued by " +
				"root/2)",
		},
		{
			"nothing was read", scenarios.TornPair, func(s *scene) {
				s.without(func(r record.Span) bool { return r.Kind == record.Reload })
			}, Pass,
			"no pod read a new key pair, so none could be torn",
		},
		{
			"nothing to recover from", scenarios.Recovery, func(s *scene) {
				s.plan.Actions = nil
			}, Pass,
			"no fault was planned, so there was nothing to recover from",
		},
		{
			"no failure at all", scenarios.Recovery, func(*scene) {}, Pass,
			"no credential failure at all, up to 10m",
		},
		{
			"failures end in time", scenarios.Recovery, func(s *scene) {
				s.fail("p-0", "p-1", 125*time.Second, 10, record.UnknownAuthority, fresh, old)
			}, Pass,
			"the last credential failure was at 2m14s, 14s after the last fault ended; the " +
				"bound is 26.3s after 2m",
		},
		{
			"failures go on", scenarios.Recovery, func(s *scene) {
				s.fail("p-0", "p-1", 125*time.Second, 60, record.UnknownAuthority, fresh, old)
			}, Fail,
			"credential failures went on until 3m4s, 1m4s after the last fault ended at 2m " +
				"(bound 26.3s); one of them was p-0 -> p-1 at 2m5s (unknown-authority: p-0, " +
				"trusting root/2, was shown s/1 issued by root/1)",
		},
		{
			"failures go on after a bound of its own", scenarios.Recovery, func(s *scene) {
				s.plan.Expect.Settle = &scenarios.Settle{
					Within: scenarios.Duration(3 * time.Second),
					After:  scenarios.Duration(2 * time.Minute),
				}
				s.fail("p-0", "p-1", 121*time.Second, 4, record.UnknownAuthority, fresh, old)
			}, Fail,
			"credential failures went on until 2m4s, 4s after the last fault ended at 2m " +
				"(bound 3s); one of them was p-0 -> p-1 at 2m1s (unknown-authority: p-0, " +
				"trusting root/2, was shown s/1 issued by root/1)",
		},
		{
			"no time to recover", scenarios.Recovery, func(s *scene) {
				s.plan.Actions[0].At = 9*time.Minute + 40*time.Second
			}, Inconclusive,
			"the horizon 10m leaves no time to recover: faults end at 9m40s, the bound is 26.3s",
		},
		{
			"the tail is not tried", scenarios.Recovery, func(s *scene) {
				s.plan.Actions[0].At = 9*time.Minute + 30*time.Second
			}, Inconclusive,
			"only 4 new connections made after 9m56.3s, when recovery was due; 30 are needed",
		},
		{
			"all in time", scenarios.Propagation, func(*scene) {}, Pass,
			"2 propagations to a pod, each within the bound of 26.3s",
		},
		{
			"one late", scenarios.Propagation, func(s *scene) {
				s.rows[6].To = 2*time.Minute + 40*time.Second
			}, Fail,
			"1 of 2 propagations to a pod came later than the bound; the worst was s/2, " +
				"written at 2m, which reached p-1 after 40s; its bound is 26.3s",
		},
		{
			"one never", scenarios.Propagation, func(s *scene) {
				s.rows = append(s.rows[:6:6], s.rows[7:]...)
			}, Fail,
			"1 of 2 propagations to a pod came later than the bound (1 of them never); the " +
				"worst was s/2, written at 2m, which reached p-1 not within the 8m that were " +
				"left; its bound is 26.3s",
		},
		{
			"late but down", scenarios.Propagation, func(s *scene) {
				s.rows[6].To = 2*time.Minute + 40*time.Second
				s.add(record.Span{
					Kind: record.Down, Source: "p-1",
					From: 130 * time.Second, To: 150 * time.Second,
				})
			}, Pass,
			"1 propagation to a pod, each within the bound of 26.3s",
		},
		{
			"replaced before it was late", scenarios.Propagation, func(s *scene) {
				s.rows[5].From, s.rows[6].From = 130*time.Second, 130*time.Second
				s.rows[5].To, s.rows[6].To = 140*time.Second, 141*time.Second
				s.write(130*time.Second, gen("s/2", "root/1"))
				s.rows[4].Own = gen("s/1b", "root/1")
			}, Pass,
			"4 propagations to a pod, each within the bound of 26.3s",
		},
		{
			"the same content again", scenarios.Propagation, func(s *scene) {
				s.write(3*time.Minute, gen("s/2", "root/1"))
			}, Pass,
			"2 propagations to a pod, each within the bound of 26.3s",
		},
		{
			"the Secret deleted", scenarios.Propagation, func(s *scene) {
				s.write(3*time.Minute, nil)
			}, Pass,
			"2 propagations to a pod, each within the bound of 26.3s",
		},
		{
			"written at the end", scenarios.Propagation, func(s *scene) {
				s.without(func(r record.Span) bool { return r.Kind == record.Write && r.To > 0 })
				s.write(590*time.Second, gen("s/2", "root/1"))
			}, Inconclusive,
			"the record ends before the bound of 26.3s was over for any of 2 propagations to a pod",
		},
		{
			"never written", scenarios.Propagation, func(s *scene) {
				s.without(func(r record.Span) bool { return r.Kind == record.Write && r.To > 0 })
			}, Pass,
			"no Secret was written, so nothing had to propagate",
		},
		{
			"a bound for propagation of its own", scenarios.Propagation, func(s *scene) {
				s.plan.Expect.Propagation = &scenarios.Within{
					Within: scenarios.Duration(15 * time.Second),
				}
			}, Fail,
			"1 of 2 propagations to a pod came later than the bound; the worst was s/2, " +
				"written at 2m, which reached p-1 after 20s; its bound is 15s",
		},
		{
			"on other nodes than planned", scenarios.Propagation, func(s *scene) {
				s.add(record.Span{Kind: record.Unlike, Source: "n", Detail: "it syncs less often"})
			}, Inconclusive,
			"the nodes are not those of the plan (--allow-partial), so its bound of 26.3s says " +
				"nothing: node n: it syncs less often",
		},
		{
			"late on other nodes than planned", scenarios.Propagation, func(s *scene) {
				s.plan.Expect.Propagation = &scenarios.Within{
					Within: scenarios.Duration(15 * time.Second),
				}
				s.add(record.Span{Kind: record.Unlike, Source: "n", Detail: "it syncs less often"})
			}, Inconclusive,
			"the nodes are not those of the plan (--allow-partial), so its bound of 15s says " +
				"nothing: node n: it syncs less often",
		},
		{
			"never written on other nodes than planned", scenarios.Propagation, func(s *scene) {
				s.without(func(r record.Span) bool { return r.Kind == record.Write && r.To > 0 })
				s.add(record.Span{Kind: record.Unlike, Source: "n", Detail: "it syncs less often"})
			}, Pass,
			"no Secret was written, so nothing had to propagate",
		},
		{
			"all accounted for", scenarios.Accounting, func(*scene) {}, Pass,
			"1,200 scheduled = 1,200 ok + 0 failed + 0 skipped",
		},
		{
			"attempts missing", scenarios.Accounting, func(s *scene) {
				s.rows[len(s.rows)-1].Count -= 3
			}, Fail,
			"1,200 scheduled = 1,197 ok + 0 failed + 0 skipped, which leaves 3 unaccounted for",
		},
		{
			"attempts too many", scenarios.Accounting, func(s *scene) {
				s.rows[len(s.rows)-1].Count++
			}, Fail,
			"1,200 scheduled = 1,201 ok + 0 failed + 0 skipped, which leaves -1 unaccounted for",
		},
		{
			"an association that began twice", scenarios.Accounting, func(s *scene) {
				s.associate(0, 1, record.OK)
				s.associate(time.Minute, 1, record.OK)
			}, Fail,
			"an association began while it stood, or ended while it did not, once",
		},
		{
			"rows known to be lost", scenarios.Accounting, func(s *scene) {
				s.rows[len(s.rows)-1].Count -= 3
				s.add(record.Span{Kind: record.Lost, From: time.Minute, To: 63 * time.Second})
			}, Inconclusive,
			"the record is not whole: rows from 1m to 1m3s are lost",
		},
		{
			"no load to account for", scenarios.Accounting, func(s *scene) {
				s.plan.Streams = nil
				s.without(func(r record.Span) bool { return r.Kind == record.Handshake })
			}, Pass,
			"no new connection was scheduled and none recorded",
		},
		{
			"proven", scenarios.Proof, func(*scene) {}, Pass,
			"1 action planned, each seen to take effect within 0s of being due",
		},
		{
			"without proof", scenarios.Proof, func(s *scene) {
				s.without(func(r record.Span) bool { return r.Kind == record.Proof })
			}, Inconclusive,
			"of 1 action, 1 never seen to take effect; the first is rotateLeaf[0]/reissue, " +
				"due at 2m",
		},
		{
			"proof of something earlier", scenarios.Proof, func(s *scene) {
				s.rows[3].From, s.rows[3].To = time.Minute, time.Minute
			}, Inconclusive,
			"of 1 action, 1 never seen to take effect; the first is rotateLeaf[0]/reissue, " +
				"due at 2m",
		},
		{
			"left out", scenarios.Proof, func(s *scene) {
				s.without(func(r record.Span) bool { return r.Kind == record.Proof })
				s.add(record.Span{
					Kind: record.Act, From: 2 * time.Minute, To: 2 * time.Minute,
					Action: "rotateLeaf[0]/reissue", Outcome: record.Skipped, Detail: "no key",
				})
			}, Inconclusive,
			"of 1 action, 1 never seen to take effect; the first is rotateLeaf[0]/reissue, " +
				"due at 2m; not performed (--allow-partial): no key",
		},
		{
			"nothing to prove", scenarios.Proof, func(s *scene) {
				s.plan.Actions = nil
			}, Pass,
			"no fault was planned, so none needed proof",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			row.change(s)
			a := s.analyse(t, false)
			for _, check := range checks() {
				if check.id == row.check {
					status, reason := check.judge(a)
					assert.Equal(t, row.status, status)
					assert.Equal(t, row.reason, reason)
				}
			}
		})
	}
}
