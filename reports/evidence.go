package reports

import (
	"fmt"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// attemptsMin is the fewest new connections from which "none failed" says anything: by the rule of
// three, 30 clean attempts put the failure rate below 10 % with 95 % confidence.
const attemptsMin = 30

// thinEvidence returns why a check that found no failed attempt proves nothing, or nothing when
// those of every workload that dials told of credentials often enough since the first fault: at
// least attemptsMin times, and once for each ordered pair.
func (a *Analysis) thinEvidence() string {
	if len(a.plan.Streams) == 0 {
		return "no load: the scenario schedules no " + a.traffic.attempt() + "s"
	}
	since := a.firstFault()
	demands := a.demandSince(since)
	for _, d := range demands {
		need := max(attemptsMin, d.pairs)
		if d.reached < need {
			return fmt.Sprintf("%s, fewer than the %s needed (%s)", a.shortfall(d, since, demands),
				Number(need), plural(d.pairs, a.traffic.pair()))
		}
	}
	return ""
}

// demand is what the pods of one workload dialled.
type demand struct {
	workload string
	pairs    int64 // ordered pairs that its pods are due to dial
	made     int64 // attempts that were made
	reached  int64 // those of them that tell of credentials
}

// demandSince returns the demands of the workloads that dial, in the order of the plan's streams,
// with their attempts at or after the offset.
func (a *Analysis) demandSince(since time.Duration) []demand {
	var demands []demand
	numbers := map[string]int{}
	of := make([]int, len(a.pods.names)) // by pod, 1 + the index of its demand
	for _, stream := range a.plan.Streams {
		pod := a.pods.index(stream.Source)
		if !a.dials.planned(pod) || of[pod] > 0 {
			continue
		}
		workload := a.dials.workloads[pod]
		number, seen := numbers[workload]
		if !seen {
			number = len(demands)
			numbers[workload] = number
			demands = append(demands, demand{workload: workload})
		}
		of[pod] = number + 1
		demands[number].pairs += int64(a.dials.peersOf(pod))
	}
	for _, span := range a.attempts.spans {
		if span.source < 0 || of[span.source] == 0 {
			continue
		}
		d := &demands[of[span.source]-1]
		outcome, count := a.attempts.outcomes[span.outcome], span.since(since)
		if outcome != record.Skipped {
			d.made += count
		}
		if tells(outcome) {
			d.reached += count
		}
	}
	return demands
}

// shortfall words how little a demand shows after the offset. It names the workload if it is one of
// several.
func (a *Analysis) shortfall(d demand, since time.Duration, demands []demand) string {
	by := ""
	if len(demands) > 1 {
		by = " by workload " + d.workload
	}
	if d.made == d.reached {
		return fmt.Sprintf("only %s made%s after %s",
			plural(d.made, a.traffic.attempt()), by, Moment(since))
	}
	return fmt.Sprintf("of %s made%s after %s only %s reached %s",
		plural(d.made, a.traffic.attempt()), by, Moment(since), Number(d.reached),
		a.traffic.either("TLS", "a verifier", "TLS or a verifier"))
}

// lifetimes reports whether the record shows when pods were down: it is whole, so that no Down row
// is missing.
func (a *Analysis) lifetimes() bool { return a.whole() == "" }

// aliveIn reports whether the pods were all up at one of n attempts that are spread evenly over the
// stretch. Pod -1 is taken to have been up.
func (a *Analysis) aliveIn(s stretch, n int64, pods ...int) bool {
	return beyond(a.downOf(pods...), s, n)
}

// linkedIn is aliveIn for a pair, of which the network must also have been in order. A call may
// have the one who verifies it fetch keys: then what they are fetched from is part of the link.
func (a *Analysis) linkedIn(s stretch, n int64, source, peer int) bool {
	troubles := append(a.downOf(source, peer), a.disturbedBetween(source, peer)...)
	for _, issuer := range a.fetchedFrom(peer) {
		troubles = append(troubles, a.downOf(issuer)...)
		troubles = append(troubles, a.disturbedBetween(peer, issuer)...)
	}
	return beyond(troubles, s, n)
}

// fetchedFrom returns the pods that a verifier fetches its keys from, none if it mounts them.
func (a *Analysis) fetchedFrom(pod int) []int {
	if !a.usesJWKS(pod) {
		return nil
	}
	from := a.plan.TokensOf(a.dials.workloads[pod]).JWKS.From
	var pods []int
	for i, workload := range a.dials.workloads {
		if workload == from {
			pods = append(pods, i)
		}
	}
	return pods
}

// downOf returns when any of the pods was down or out of reach, and attempts may have met that.
func (a *Analysis) downOf(pods ...int) []stretch {
	var downs []stretch
	margin := a.underWay()
	for _, pod := range pods {
		if pod < 0 || pod >= len(a.missing) {
			continue
		}
		for _, down := range a.missing[pod] {
			downs = append(downs, stretch{down.from - margin, down.to + margin})
		}
	}
	return downs
}

// beyond reports whether one of n attempts that are spread evenly over the stretch lies outside of
// what explains it.
func beyond(downs []stretch, s stretch, n int64) bool {
	apart := s.to - s.from
	if n > 1 {
		apart /= time.Duration(n - 1)
	}
	covered := s.from // everything before it is explained
	started := false
	for _, down := range union(downs) {
		if down.to < s.from || down.from > s.to {
			continue
		}
		if !started && down.from > s.from || started && down.from-covered > apart {
			return true
		}
		started = true
		covered = max(covered, down.to)
	}
	return !started || covered < s.to
}

// underWay returns how long before a pod goes down an attempt may have begun that this cuts off,
// and how long after it has come up its new address is news to others. A modelled attempt takes no
// time.
func (a *Analysis) underWay() time.Duration {
	if a.header.Basis == record.Measured {
		return time.Second
	}
	return 0
}

// firstFault returns the offset of the plan's first action, 0 without any.
func (a *Analysis) firstFault() time.Duration {
	if len(a.plan.Actions) == 0 {
		return 0
	}
	return a.plan.Actions[0].At
}

// lastFault returns the end of the plan's last action. One that orders a rotation ends with its
// last step.
func (a *Analysis) lastFault() time.Duration {
	var end time.Duration
	for _, action := range a.plan.Actions {
		end = max(end, action.At+action.Downtime, a.lastStep(action))
	}
	return end
}

// lastStep returns when the rotation that an action ordered came to its end, which is one key, or
// its last step that was seen; 0 if it ordered none or was not seen to.
func (a *Analysis) lastStep(action scenarios.Action) time.Duration {
	from, proved := a.proofs[action.ID]
	orders := action.Verb == scenarios.RotateKeys || action.Verb == scenarios.RejectKey
	if !orders || !proved {
		return 0
	}
	var last time.Duration
	for _, name := range action.Secrets {
		for _, index := range a.secrets.history[a.secrets.index(name)] {
			w := a.secrets.writes[index]
			if w.at < from || a.unusable(w) {
				continue
			}
			last = max(last, w.at)
			if w.at > from && len(a.generations.trust[w.generation]) == 1 {
				break
			}
		}
	}
	return last
}

// made returns how many attempts were made, for reasons.
func (a *Analysis) made() string {
	return plural(a.attempts.made(0), a.traffic.attempt())
}
