package reports

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// swapPlan is an abrupt CA swap under a dozen Akka peers on two kinds of nodes.
func swapPlan() scenarios.Plan {
	plan := scenarios.Plan{
		Scenario: "ca-swap-abrupt",
		Why: "The new root is trusted nowhere when the first leaf signed by it is served. Peers " +
			"whose volume syncs late reject peers that synced early, and are rejected by them.",
		Params:  map[string]string{"hold": "0s"},
		Seed:    7,
		Horizon: 40 * time.Minute,
		Nodes: []scenarios.PlannedNode{
			{Name: "fast", SyncFrequency: 10 * time.Second, ChangeDetection: scenarios.Watch},
			{Name: "slow", SyncFrequency: time.Minute, ChangeDetection: scenarios.Watch},
		},
		Peers: []scenarios.PeerGroup{{
			Consumer: scenarios.Consumer{
				Workload: "my-service", Namespace: "default", Secret: "default/my-service-tls",
				Policy: "lazy-ttl", Every: 5 * time.Minute,
			},
			Trust: "first-cert", PairCheck: "none", Associations: "ring", Retry: time.Second,
		}},
		Actions: []scenarios.Action{
			{
				ID: "swapCA[0]/reissue-ca", Fault: 0, At: 10 * time.Minute, Verb: scenarios.Reissue,
				Note: "issue the CA anew with another key",
			},
			{
				ID: "swapCA[0]/reissue-leaf", Fault: 0, At: 10 * time.Minute,
				Verb: scenarios.Reissue, Note: "issue my-service-tls by the new CA",
			},
			{
				ID: "restart[1]/restart", Fault: 1, At: 20 * time.Minute,
				Downtime: 20 * time.Second,
				Verb:     scenarios.RestartPods, Note: "restart my-service-3",
			},
		},
		Expect: scenarios.Expect{Verdict: "fail", Because: "trust-gap"},
	}
	for i := range 12 {
		name := "my-service-" + strconv.Itoa(i)
		plan.Pods = append(plan.Pods, scenarios.Pod{
			Name: name, Workload: "my-service", Node: []string{"fast", "slow", "slow"}[i%3],
		})
		plan.Streams = append(plan.Streams, scenarios.Stream{
			Source: name, To: []string{"my-service"}, Every: time.Second,
			Phase: time.Duration(i) * 70 * time.Millisecond,
		})
	}
	return plan
}

// swapRows is the record of swapPlan, attempt by attempt.
func swapRows(plan scenarios.Plan) []record.Span {
	s := swapRun{plan: plan, dice: rand.New(rand.NewPCG(plan.Seed, 1))}
	s.write(0, 1)
	for i := range plan.Pods {
		s.use(i, 0, 0, 0, 1)
		s.adopted = append(s.adopted, s.takes(i))
		s.use(i, swapAt, swapAt+s.takes(i)/3, s.adopted[i], 2)
		s.associate(i, 0)
	}
	s.write(swapAt, 2)
	for _, action := range plan.Actions {
		at := action.At + 300*time.Millisecond
		s.add(record.Span{Kind: record.Proof, From: at, To: at, Action: action.ID})
	}
	s.restart(3, 20*time.Minute, 20*time.Second)
	for i, stream := range plan.Streams {
		s.dial(i, stream)
	}
	end := record.Span{Kind: record.End, From: plan.Horizon, To: plan.Horizon}
	slices.SortStableFunc(s.rows, func(a, b record.Span) int { return cmp.Compare(a.To, b.To) })
	return append(s.rows, end)
}

const swapAt = 10*time.Minute + 300*time.Millisecond

type swapRun struct {
	plan    scenarios.Plan
	dice    *rand.Rand
	rows    []record.Span
	adopted []time.Duration
}

func (s *swapRun) add(span record.Span) { s.rows = append(s.rows, span) }

func generation(n int) *record.Generation {
	return &record.Generation{
		Leaf: "my-service-tls/" + strconv.Itoa(n), Trust: "root/" + strconv.Itoa(n),
		Chain: "root/" + strconv.Itoa(n),
	}
}

func (s *swapRun) write(at time.Duration, n int) {
	s.add(record.Span{
		Kind: record.Write, From: at, To: at, Source: "default/my-service-tls",
		Own: generation(n), NotAfter: at + 24*time.Hour,
	})
}

func (s *swapRun) use(pod int, written, projected, at time.Duration, n int) {
	s.add(record.Span{
		Kind: record.Reload, From: written, Projected: projected, To: at,
		Source: s.plan.Pods[pod].Name, Outcome: record.OK, Own: generation(n),
		NotAfter: written + 24*time.Hour,
	})
}

// takes draws when a pod takes the swap into use, by the law of its settings.
func (s *swapRun) takes(pod int) time.Duration {
	sync := 60.0
	if s.plan.Pods[pod].Node == "fast" {
		sync = 10
	}
	rest := s.dice.Float64() * sync * (1 + s.dice.Float64()/2)
	return swapAt + time.Duration((rest+300*s.dice.Float64())*float64(time.Second))
}

func (s *swapRun) associate(pod int, at time.Duration) {
	peer := s.plan.Pods[(pod+1)%len(s.plan.Pods)].Name
	s.add(record.Span{
		Kind: record.Associate, From: at, To: at, Count: 1, Outcome: record.OK,
		Source: s.plan.Pods[pod].Name, Peer: peer,
	})
}

// restart ends a pod, its two associations, and brings all back.
func (s *swapRun) restart(pod int, at, down time.Duration) {
	name := s.plan.Pods[pod].Name
	for _, source := range []int{pod - 1, pod} {
		s.add(record.Span{
			Kind: record.Drop, From: at, To: at, Source: s.plan.Pods[source].Name,
			Peer: s.plan.Pods[source+1].Name, Detail: name + " ended",
		})
		s.associate(source, at+down)
	}
	s.add(record.Span{Kind: record.Down, Source: name, From: at, To: at + down})
	s.add(record.Span{Kind: record.Up, Source: name, From: at + down, To: at + down})
	s.use(pod, at+down, at+down, at+down, 2)
}

// dial makes every attempt of a stream and joins equal ones in a row.
func (s *swapRun) dial(source int, stream scenarios.Stream) {
	targets := s.plan.Targets(stream)
	open := map[string]*record.Span{}
	var order []*record.Span
	for k := 0; ; k++ {
		at := stream.Phase + time.Duration(k)*stream.Every
		if at >= s.plan.Horizon {
			break
		}
		span := s.attempt(source, targets[k%len(targets)], at)
		key := span.Peer + string(span.Outcome)
		if last := open[key]; last != nil && at-last.To <= 13*time.Second {
			last.To = at
			last.Count++
			continue
		}
		open[key] = &span
		order = append(order, &span)
	}
	for _, span := range order {
		if span.Outcome == record.OK {
			span.Latency = record.NewHistogram()
			span.Latency.Record(1200*time.Microsecond, span.Count)
		}
		s.add(*span)
	}
}

// attempt is one dial: it fails while just one of the two has swapped.
func (s *swapRun) attempt(source int, peer string, at time.Duration) record.Span {
	target := slices.IndexFunc(s.plan.Pods, func(p scenarios.Pod) bool { return p.Name == peer })
	span := record.Span{
		Kind: record.Handshake, From: at, To: at, Count: 1, Source: s.plan.Pods[source].Name,
		Outcome: record.OK,
	}
	down := func(pod int) bool {
		return pod == 3 && at >= 20*time.Minute && at < 20*time.Minute+20*time.Second
	}
	own, other := 1, 1
	if at >= s.adopted[source] {
		own = 2
	}
	if at >= s.adopted[target] {
		other = 2
	}
	switch {
	case down(source):
		span.Outcome = record.Skipped
	case down(target):
		span.Outcome, span.Peer, span.Side = record.Unreachable, peer, record.Client
	case own != other:
		span.Outcome, span.Peer, span.Side = record.UnknownAuthority, peer, record.Client
		span.Own, span.Other = generation(own), generation(other)
	}
	return span
}

func rowsOf(spans []record.Span) iter.Seq2[record.Span, error] {
	return func(yield func(record.Span, error) bool) {
		for _, span := range spans {
			if !yield(span, nil) {
				return
			}
		}
	}
}

func headerOf(plan scenarios.Plan) record.Header {
	return record.Header{
		Version: record.Version, Scenario: plan.Scenario, Digest: "sha256:test", Seed: plan.Seed,
		Backend: "sim", Basis: record.Modelled,
	}
}
