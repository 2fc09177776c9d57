package reports

import (
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/rotation"
)

// Keys is what became of the keys with ids: how they were rotated, with how much to spare, which
// calls failed by them, and how often they were fetched.
type Keys struct {
	Secrets  []KeySecret  `json:"secrets"`  // one for each RotatingSecret, in the plan's order
	Failures []KeyFailure `json:"failures"` // of calls, by cause, in the order of outcomes
	Fetches  []KeyFetches `json:"fetches"`  // of each group of verifiers that uses a JWKS
}

// KeySecret is the rotations of one Secret.
type KeySecret struct {
	Secret  string      `json:"secret"`
	Steps   []KeyStep   `json:"steps"` // the contents written, the one at offset 0 too
	Margins []KeyMargin `json:"margins"`
}

// KeyStep is one content of a Secret.
type KeyStep struct {
	At     Seconds `json:"at_seconds"`
	Keys   string  `json:"keys"` // such as "r1* r2": the star is the primary's
	Usable bool    `json:"usable"`
}

// KeyMargin is what there is to spare in one interval of a rotation.
type KeyMargin struct {
	Interval rotation.Interval `json:"interval"`
	Have     Seconds           `json:"have_seconds"`  // what the RotatingSecret waits at least
	Need     Seconds           `json:"need_seconds"`  // what the plan's bounds make safe
	Spare    Seconds           `json:"spare_seconds"` // the difference, below 0 when it is short
	Seen     *Seconds          `json:"seen_seconds"`  // the smallest between writes; null for none
	// Uptake says that the operator also waits for what consumers report, so that the time it takes
	// to reach them is no part of Need.
	Uptake bool `json:"uptake"`
}

// Short reports whether the wait is too short by what the RotatingSecret says, or was.
func (m KeyMargin) Short() bool { return m.Spare < 0 || m.SeenShort() }

// SeenShort reports whether the wait that was seen was too short.
func (m KeyMargin) SeenShort() bool { return m.Seen != nil && *m.Seen < m.Need }

// KeyFailure is the calls that failed for one cause.
type KeyFailure struct {
	Outcome record.Outcome `json:"outcome"`
	Count   int64          `json:"count"`
	Share   Share          `json:"share"` // of the calls that were made
	First   Seconds        `json:"first_seconds"`
	Last    Seconds        `json:"last_seconds"`
	// Of the two ends that met most often: the key that the token was signed with, and those that
	// its verifier had; empty when the record does not say.
	Token    string `json:"token_key"`
	Verifier string `json:"verifier_keys"`
}

// keyFigures returns what became of the keys, nil for a plan that rotates none.
func (a *Analysis) keyFigures() *Keys {
	if len(a.plan.World.RotatingSecrets) == 0 {
		return nil
	}
	k := &Keys{Failures: a.keyFailures(), Fetches: a.keyFetches()}
	for i := range a.plan.World.RotatingSecrets {
		k.Secrets = append(k.Secrets, a.keySecret(i))
	}
	return k
}

// keySecret returns the rotations of the Secret of the plan's i-th RotatingSecret.
func (a *Analysis) keySecret(i int) KeySecret {
	rotating := &a.plan.World.RotatingSecrets[i]
	name := scenarios.RotatedBy(rotating)
	secret := a.secrets.numbers[name]
	k := KeySecret{Secret: name, Steps: []KeyStep{}}
	var seen waits
	for _, index := range a.secrets.history[secret] {
		w := a.secrets.writes[index]
		if w.same {
			continue
		}
		k.Steps = append(k.Steps, a.keyStep(w))
		if !a.unusable(w) {
			seen.next(w.at, a.generations.at(w.generation).Leaf, a.generations.trust[w.generation])
		}
	}
	spec, _ := rotating.Spec.Rotation()
	for _, m := range spec.Margins(a.keyBounds(secret)) {
		k.Margins = append(k.Margins, KeyMargin{
			Interval: m.Interval, Have: seconds(m.Have), Need: seconds(m.Need),
			Spare: seconds(m.Spare()), Seen: seen.smallest(m.Interval), Uptake: m.Observed,
		})
	}
	return k
}

func (a *Analysis) keyStep(w write) KeyStep {
	step := KeyStep{At: seconds(w.at), Keys: w.detail, Usable: !a.unusable(w)}
	switch {
	case w.generation < 0:
		step.Keys = "deleted"
	case step.Keys == "":
		step.Keys = keysOf(a.generations.at(w.generation))
	}
	return step
}

// keyBounds returns what a rotation of the secret must be safe against.
func (a *Analysis) keyBounds(secret int) rotation.Bounds {
	var b rotation.Bounds
	var consumers []string
	for pod := range a.plan.Pods {
		if a.secretOf(pod) != secret {
			continue
		}
		consumers = append(consumers, a.plan.Pods[pod].Name)
		b.Propagation = max(b.Propagation, a.bounds.of(pod))
		if group := a.tokensOf(pod); group != nil {
			b.TokenTTL = max(b.TokenTTL, group.TTL)
		}
	}
	b.Skew = a.skewOf(consumers)
	return b
}

// skewOf returns by how much the plan sets clocks of the pods off at most.
func (a *Analysis) skewOf(pods []string) time.Duration {
	names := make(map[string]bool, len(pods))
	for _, name := range pods {
		names[name] = true
	}
	var skew time.Duration
	for _, action := range a.plan.Actions {
		if action.Verb != scenarios.SetClock {
			continue
		}
		for _, name := range action.Pods {
			if names[name] {
				skew = max(skew, action.Skew.Abs())
			}
		}
	}
	return skew
}

// keyFailures returns why calls failed for a credential reason.
func (a *Analysis) keyFailures() []KeyFailure {
	all := []KeyFailure{}
	for _, outcome := range a.attempts.outcomes {
		t := a.tally(func(f *failure) bool {
			return f.call && f.outcome == outcome && f.outcome.Credential()
		})
		if t.count == 0 {
			continue
		}
		token, verifier := a.commonest(outcome)
		all = append(all, KeyFailure{
			Outcome: outcome, Count: t.count, Share: Share(float64(t.count) / float64(a.calls)),
			First: seconds(t.first.from), Last: seconds(t.last.to),
			Token: token, Verifier: verifier,
		})
	}
	return all
}

// commonest returns the token's key and the verifier's keys of most calls that ended so, the first
// seen among equals.
func (a *Analysis) commonest(outcome record.Outcome) (token, verifier string) {
	counts := map[[2]int]int64{}
	most := [2]int{-1, -1}
	for i := range a.failures {
		if f := &a.failures[i]; f.call && f.outcome == outcome {
			counts[[2]int{f.own, f.other}] += f.count
		}
	}
	for i := range a.failures {
		f := &a.failures[i]
		pair := [2]int{f.own, f.other}
		if f.call && f.outcome == outcome && counts[pair] > counts[most] {
			most = pair
		}
	}
	return idOf(a.generations.at(most[0]).Leaf), keysOf(a.generations.at(most[1]))
}
