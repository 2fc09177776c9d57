package reports

import (
	"slices"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// write is one content of a Secret seen at the API.
type write struct {
	at         time.Duration
	secret     int
	generation int    // -1 once the Secret was deleted
	same       bool   // the content is that of the write before: no kubelet projects it again
	detail     string // of a key ring: its keys in words
	spoilt     bool   // an action of the plan made it no key ring
}

// secrets is the history of every Secret.
type secrets struct {
	numbers map[string]int
	names   []string
	writes  []write
	history [][]int      // by secret, indices into writes in order
	of      []int        // by planned pod, the secret that its credentials come from
	rings   map[int]bool // which of them hold key rings
}

func newSecrets(plan scenarios.Plan) secrets {
	s := secrets{numbers: map[string]int{}, rings: map[int]bool{}}
	sources := map[string]int{}
	for _, consumer := range plan.Consumers() {
		if consumer.Secret != "" {
			sources[consumer.Workload] = s.index(consumer.Secret)
		}
	}
	for i := range plan.Tokens {
		group := &plan.Tokens[i]
		if group.JWKS != nil {
			if number, ok := sources[group.JWKS.From]; ok {
				sources[group.Workload] = number
			}
		}
	}
	for i := range plan.World.RotatingSecrets {
		s.rings[s.index(scenarios.RotatedBy(&plan.World.RotatingSecrets[i]))] = true
	}
	for _, pod := range plan.Pods {
		number, ok := sources[pod.Workload]
		if !ok {
			number = -1
		}
		s.of = append(s.of, number)
	}
	return s
}

func (s *secrets) index(name string) int {
	if number, ok := s.numbers[name]; ok {
		return number
	}
	number := len(s.names)
	s.numbers[name] = number
	s.names = append(s.names, name)
	s.history = append(s.history, nil)
	return number
}

func (s *secrets) write(span *record.Span, known *generations) {
	secret := s.index(span.Source)
	next := write{at: span.To, secret: secret, generation: known.indexOf(span.Own)}
	if s.rings[secret] {
		next.detail = span.Detail
	}
	if last := s.content(secret); last >= 0 {
		next.same = next.generation == last
	}
	s.history[secret] = append(s.history[secret], len(s.writes))
	s.writes = append(s.writes, next)
}

// content returns the generation last written to the secret, over any deletion, or -1.
func (s *secrets) content(secret int) int {
	for _, index := range slices.Backward(s.history[secret]) {
		if generation := s.writes[index].generation; generation >= 0 {
			return generation
		}
	}
	return -1
}

// find returns the write that content in use came from, or -1: the one at the given offset, else
// the newest up to now of the same content.
func (s *secrets) find(
	secret int, written, now time.Duration, generation int, known *generations,
) int {
	if secret < 0 {
		return -1
	}
	history := s.history[secret]
	for i := len(history) - 1; i >= 0 && s.writes[history[i]].at >= written; i-- {
		if s.writes[history[i]].at == written {
			return history[i]
		}
	}
	used := known.at(generation)
	for _, index := range slices.Backward(history) {
		w := s.writes[index]
		if w.at <= now && w.generation >= 0 && projects(known.at(w.generation), used) {
			return index
		}
	}
	return -1
}

// projects reports whether content in use is that of a written generation: all of it, or as a
// reader takes it that trusts the first CA alone.
func projects(written, used record.Generation) bool {
	first, _, _ := strings.Cut(written.Trust, "+")
	return written.Leaf == used.Leaf && written.Chain == used.Chain && written.Torn == used.Torn &&
		(written.Trust == used.Trust || first == used.Trust)
}

// secretOf returns the secret that a pod mounts or, if it fetches a JWKS, whose keys are published
// there; -1 for none.
func (a *Analysis) secretOf(pod int) int {
	if pod < 0 || pod >= len(a.secrets.of) {
		return -1
	}
	return a.secrets.of[pod]
}

// tokensOf returns the pod's group if it issues or verifies tokens, or nil.
func (a *Analysis) tokensOf(pod int) *scenarios.TokenGroup {
	if len(a.plan.Tokens) == 0 || !a.dials.planned(pod) {
		return nil
	}
	return a.plan.TokensOf(a.dials.workloads[pod])
}

// usesJWKS reports whether the pod fetches its keys as a JWKS, so that no kubelet delivers them.
func (a *Analysis) usesJWKS(pod int) bool {
	group := a.tokensOf(pod)
	return group != nil && group.JWKS != nil
}

// unusable reports whether a write is of content that a careful reader refuses.
func (a *Analysis) unusable(w write) bool {
	return w.generation < 0 || a.generations.at(w.generation).Torn || a.spoilt(w)
}

// spoilt reports whether a write is of what should be a key ring but is none: exactly one of its
// keys must be the primary, and none may lack a part, which its name does not show.
func (a *Analysis) spoilt(w write) bool {
	if !a.secrets.rings[w.secret] || w.generation < 0 {
		return false
	}
	return w.spoilt || !slices.Contains(
		a.generations.trust[w.generation], a.generations.at(w.generation).Leaf)
}

// markSpoilt finds the writes by which the plan's actions spoilt key rings: the last before each
// was seen to take effect.
func (a *Analysis) markSpoilt() {
	for _, action := range a.plan.Actions {
		proof, proved := a.proofs[action.ID]
		if action.Verb != scenarios.SpoilKeys || !proved {
			continue
		}
		for _, name := range action.Secrets {
			history := a.secrets.history[a.secrets.index(name)]
			for _, index := range slices.Backward(history) {
				if w := &a.secrets.writes[index]; w.at <= proof {
					w.spoilt = w.at >= action.At
					break
				}
			}
		}
	}
}
