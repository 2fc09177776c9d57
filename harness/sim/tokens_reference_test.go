package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/token"
)

// reference works out, call by call, what the simulator counts: what became of the calls of one
// issuer to verifiers with a JWKS, and how often those fetched it. Only when the issuer read which
// ring is taken from the simulator's record.
type reference struct {
	plan  scenarios.Plan
	rings []record.Span // of the issuer, in order
}

func newReference(plan scenarios.Plan, got rows) reference {
	r := reference{plan: plan}
	for _, row := range got {
		if row.Kind == record.Reload && row.Source == "auth-0" && row.Outcome == record.OK {
			r.rings = append(r.rings, row)
		}
	}
	return r
}

// ring returns what the issuer had read up to an offset.
func (r reference) ring(at time.Duration) *record.Generation {
	held := r.rings[0].Own
	for _, row := range r.rings {
		if row.To <= at {
			held = row.Own
		}
	}
	return held
}

// signedBy returns the key of the token that is called with at an offset.
func (r reference) signedBy(at time.Duration) string {
	reuse := r.plan.TokensOf("auth").Reuse
	signed := -r.plan.Pods[0].TokenAge
	for signed+reuse <= at {
		signed += reuse
	}
	return r.ring(signed).Leaf
}

// verifier is one that fetches.
type verifier struct {
	state   token.State
	keys    string
	refused int64
	fetches int64
}

func (r reference) run(t *testing.T) map[string]*verifier {
	t.Helper()
	policy := r.plan.TokensOf("edge").JWKS.Policy()
	all := map[string]*verifier{}
	for _, pod := range r.plan.Pods {
		begun := r.plan.Start.Add(-pod.KeysAge)
		all[pod.Name] = &verifier{
			keys:  r.ring(0).Trust,
			state: token.State{Last: begun, Good: begun, Fetches: 1},
		}
	}
	require.Len(t, r.plan.Streams, 1)
	stream := r.plan.Streams[0]
	targets := r.plan.Targets(stream)
	for k := range int(r.plan.Attempts(stream, r.plan.Horizon)) {
		at := stream.Phase + time.Duration(k)*stream.Every
		now := r.plan.Start.Add(at)
		v := all[targets[(stream.First+k)%len(targets)]]
		r.tick(v, policy, now)
		kid := r.signedBy(at)
		demand := token.DemandUnknown
		if slices.Contains(strings.Split(v.keys, "+"), kid) {
			demand = token.DemandKnown
		}
		if policy.Due(v.state, now, demand) {
			v.fetch(r.ring(at), now)
		}
		if !slices.Contains(strings.Split(v.keys, "+"), kid) {
			v.refused++
		}
	}
	for _, name := range targets {
		r.tick(all[name], policy, r.plan.Start.Add(r.plan.Horizon))
	}
	return all
}

// tick does what falls due by time alone before the instant.
func (r reference) tick(v *verifier, policy token.Policy, now time.Time) {
	for {
		at, ok := policy.Next(v.state, token.NoDemand)
		if !ok || !at.Before(now) {
			return
		}
		v.fetch(r.ring(at.Sub(r.plan.Start)), at)
	}
}

func (v *verifier) fetch(published *record.Generation, now time.Time) {
	v.keys = published.Trust
	v.state = v.state.After(now, nil)
	v.fetches++
}

// TestFetchesAgainstReference holds the simulator, which counts, against a plain loop over all
// calls.
func TestFetchesAgainstReference(t *testing.T) {
	for _, policy := range []string{
		"policy: max-age, maxAge: 2m", "policy: max-age, maxAge: 47s",
		"policy: refetch-on-unknown", "policy: refetch-on-unknown, maxAge: 3m",
		"policy: refetch-with-cooldown, cooldown: 90s, maxAge: 10m",
		"policy: refetch-with-cooldown, cooldown: 5m, maxAge: 6m",
		"policy: background, interval: 4m", "policy: panva-jose", "policy: envoy",
	} {
		for seed := range seeds(3) {
			s := safe()
			s.seed, s.policy = seed, policy
			s.promoteAfter, s.retireAfter = 20*time.Second, time.Minute
			s.issuer = "tokenTTL: 5m, reuse: 90s, keyringTTL: 1m"
			s.faults = []string{
				rotate, "at: 25m, replaceKeys: {secret: jwt}",
				"at: 40m, rotateKeys: {secret: jwt}",
			}
			s.edit = strings.NewReplacer("replicas: 2, secret", "replicas: 1, secret",
				"to: [api, edge]", "to: [edge]")
			plan := s.plan(t)
			got := perform(t, plan)
			refused, fetches := map[string]int64{}, map[string]int64{}
			for _, row := range got {
				switch {
				case row.Kind == record.Fetch:
					fetches[row.Source] += row.Count
				case row.Outcome == record.UnknownKid:
					refused[row.Peer] += row.Count
				}
			}
			var total int64
			for name, want := range newReference(plan, got).run(t) {
				if strings.HasPrefix(name, "edge") {
					assert.Equal(t, want.refused, refused[name], "%s %d %s", policy, seed, name)
					assert.Equal(t, want.fetches, fetches[name], "%s %d %s", policy, seed, name)
					total += want.fetches
				}
			}
			assert.Positive(t, total)
		}
	}
}
