package reports

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/token"
)

// The offsets of the rotation in a token scene.
const (
	publishAt = 10 * time.Minute
	signAt    = 15 * time.Minute
	dropAt    = 35 * time.Minute
)

// newTokenScene is a small run of tokens that tests change in one respect: auth-0 calls api-0,
// which mounts the same keys, and edge-0, which fetches them, in turn, once a second for an hour;
// the Secret is rotated from 10m on. The bound of auth and api is 1.5 * 10 s sync + 10 s key ring
// TTL + 1.3 s kubelet ticks = 26.3 s. That of edge is a minute more, and 2 s between two calls more
// until it sees that a key is gone.
func newTokenScene() *scene {
	consumer := func(workload string) scenarios.Consumer {
		return scenarios.Consumer{
			Workload: workload, Namespace: "default", Secret: "default/jwt",
			Policy: "lazy-ttl", Every: 10 * time.Second, KeepLastGood: true,
		}
	}
	s := &scene{plan: scenarios.Plan{
		Scenario: "tokens", Seed: 1, Horizon: time.Hour,
		Nodes: []scenarios.PlannedNode{{
			Name: "n", SyncFrequency: 10 * time.Second, ChangeDetection: scenarios.Watch,
		}},
		Tokens: []scenarios.TokenGroup{
			{
				Consumer: consumer("auth"), Role: scenarios.Issues, Algorithm: "ES256",
				TTL: 10 * time.Minute, Reuse: 5 * time.Minute,
			},
			{
				Consumer: consumer("api"), Role: scenarios.Verifies, Algorithm: "ES256",
				Leeway: time.Minute,
			},
			{
				Consumer: scenarios.Consumer{Workload: "edge", Namespace: "default"},
				Role:     scenarios.Verifies, Algorithm: "ES256", Leeway: time.Minute,
				JWKS: &scenarios.JWKSGroup{
					From: "auth", Kind: string(token.MaxAge), MaxAge: time.Minute,
				},
			},
		},
		Pods: []scenarios.Pod{
			{Name: "auth-0", Workload: "auth", Node: "n"},
			{Name: "api-0", Workload: "api", Node: "n"},
			{Name: "edge-0", Workload: "edge", Node: "n"},
		},
		Streams: []scenarios.Stream{
			{Source: "auth-0", To: []string{"api", "edge"}, Every: time.Second},
		},
		Actions: []scenarios.Action{{
			ID: "rotateKeys[0]/rotate", At: publishAt, Verb: scenarios.RotateKeys,
			Note: "order a new key for default/jwt", Secrets: []string{"default/jwt"},
		}},
	}}
	s.rotating(`{"metadata": {"namespace": "default", "name": "jwt"},
		"spec": {"promoteAfter": "5m", "retireAfter": "20m"}}`)
	s.turn(0, "r1*", 0)
	s.provedOf("rotateKeys[0]/rotate", publishAt)
	s.turn(publishAt, "r1* r2", 40*time.Second)
	s.turn(signAt, "r1 r2*", 50*time.Second)
	s.turn(dropAt, "r2*", 70*time.Second)
	s.add(record.Span{
		Kind: record.Request, To: s.plan.Horizon - time.Second, Source: "auth-0",
		Outcome: record.OK, Count: 3600,
	})
	return s
}

// rotating sets the scene's RotatingSecret.
func (s *scene) rotating(object string) {
	s.plan.World = scenarios.World{}
	err := json.Unmarshal([]byte(`{"rotatingSecrets": [`+object+`]}`), &s.plan.World)
	if err != nil {
		panic(err) // a constant
	}
}

// ring reads a ring as reports write it, with a star at what signs.
func ring(text string) *record.Generation {
	var g record.Generation
	var primary, keys []string
	for id := range strings.FieldsSeq(text) {
		key := "jwt/" + strings.TrimSuffix(id, "*")
		keys = append(keys, key)
		if strings.HasSuffix(id, "*") {
			primary = append(primary, key)
		}
	}
	g.Leaf, g.Trust = strings.Join(primary, "+"), strings.Join(keys, "+")
	return &g
}

// rings writes the Secret and nothing more.
func (s *scene) rings(at time.Duration, text string) {
	s.add(record.Span{
		Kind: record.Write, From: at, To: at, Source: "default/jwt", Own: ring(text), Detail: text,
	})
}

// turn writes the Secret and has all pods use it: those that mount it after 10 s, edge as told.
func (s *scene) turn(at time.Duration, text string, fetched time.Duration) {
	s.rings(at, text)
	mounted := min(fetched, 10*time.Second)
	s.use("auth-0", at, at+mounted, ring(text))
	s.use("api-0", at, at+mounted, ring(text))
	s.use("edge-0", at, at+fetched, ring(text))
	for i := range s.rows {
		if row := &s.rows[i]; row.Kind == record.Reload && row.From == at && at > 0 &&
			row.Source != "edge-0" {
			row.Projected = at + 4*time.Second
		}
	}
}

func (s *scene) provedOf(action string, at time.Duration) {
	s.add(record.Span{Kind: record.Proof, From: at, To: at, Action: action, Source: "default/jwt"})
}

// refuse takes n calls of auth-0 and makes them failures from the offset on, one in two seconds.
func (s *scene) refuse(
	peer string, at time.Duration, n int64, outcome record.Outcome, signed, held string,
) {
	for i := range s.rows {
		if row := &s.rows[i]; row.Kind == record.Request && row.Outcome == record.OK {
			row.Count -= n
		}
	}
	s.add(record.Span{
		Kind: record.Request, From: at, To: at + time.Duration(n-1)*2*time.Second, Count: n,
		Source: "auth-0", Peer: peer, Outcome: outcome, Side: record.Server,
		Own: &record.Generation{Leaf: "jwt/" + signed}, Other: ring(held),
	})
}

func (s *scene) fetch(from, to time.Duration, n int64, outcome record.Outcome) {
	s.add(record.Span{
		Kind: record.Fetch, From: from, To: to, Count: n, Source: "edge-0", Peer: "auth-0",
		Outcome: outcome,
	})
}

// later moves the use of a write by a pod.
func (s *scene) later(pod string, written, at time.Duration) {
	for i := range s.rows {
		row := &s.rows[i]
		if row.Kind == record.Reload && row.Source == pod && row.From == written {
			row.To = at
		}
	}
}

// verdicts returns the status and reason of each check.
func verdicts(r *Report) map[scenarios.CheckID]Finding {
	all := map[scenarios.CheckID]Finding{}
	for _, finding := range r.Findings {
		all[finding.ID] = finding
	}
	return all
}

// failing returns the checks that failed, in the order of reports.
func failing(r *Report) []scenarios.CheckID {
	var ids []scenarios.CheckID
	for _, finding := range r.Findings {
		if finding.Status != Pass {
			ids = append(ids, finding.ID)
		}
	}
	return ids
}

// Peers and tokens in one plan: what reports say must fit both.
func newMixedScene() *scene {
	s, tokens := newScene(), newTokenScene()
	s.plan.Horizon = tokens.plan.Horizon
	s.plan.World, s.plan.Tokens = tokens.plan.World, tokens.plan.Tokens
	s.plan.Pods = append(s.plan.Pods, tokens.plan.Pods...)
	s.plan.Streams = append(s.plan.Streams, tokens.plan.Streams...)
	s.plan.Actions = append(s.plan.Actions, tokens.plan.Actions...)
	s.rows = append(s.rows, tokens.rows...)
	for i := range s.rows {
		if row := &s.rows[i]; row.Kind == record.Handshake {
			row.To, row.Count = s.plan.Horizon-time.Second, 3600
		}
	}
	return s
}

func TestMixedScene(t *testing.T) {
	r := newMixedScene().judge(t)
	assert.Equal(t, Pass, r.Verdict)
	assert.Equal(t, Balance{Scheduled: 10800, OK: 10800}, r.Balance)
	got := verdicts(r)
	for id, want := range map[scenarios.CheckID]string{
		scenarios.NewConnections: "none of 10,800 attempts failed for a credential reason",
		scenarios.Validity: "none of 10,800 attempts met a certificate or token outside its " +
			"validity, and no pod used a certificate past its end",
		scenarios.TrustGap: "10,800 attempts, and each end trusted the other's CA or had the " +
			"token's key",
		scenarios.StaleTrust: "a CA or key was withdrawn once; no pod trusted it longer than the " +
			"bound of 1m28.3s",
		scenarios.TornPair: "2 reloads, and each time key and certificate belonged together",
	} {
		assert.Equal(t, want, got[id].Reason)
	}
	assert.Len(t, r.Outcomes, len(record.Outcomes()))
	assert.True(t, slices.ContainsFunc(figuresOf(r), func(f figure) bool {
		return f.Name == "failed attempts"
	}))
}
