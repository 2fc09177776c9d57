package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkPropagation fails when a written Secret, or a newer one, was not in use by a live pod that
// mounts it, or fetches its keys, within the pod's bound. Of a pod that is down then, what it takes
// into use as it comes up counts. A write that is torn or no key ring, or that such a one or a
// deletion replaced before its bound was over, is not judged: nobody need use it. Nor is one for a
// pod that fetches a JWKS only when a token needs it, or whose set of keys it leaves as it was.
// Where the nodes are not the planned ones, the bound is not theirs.
func checkPropagation(a *Analysis) (Status, string) {
	var v lateness
	for pod := range a.plan.Pods {
		if secret := a.secretOf(pod); secret >= 0 && a.bounds.settled[pod].known {
			v.judge(a, pod, a.secrets.history[secret])
		}
	}
	switch {
	case len(a.unlike) > 0 && v.judged+v.pending+v.superseded > 0:
		return Inconclusive, a.notTheirs(v.bound)
	case v.late > 0:
		return Fail, v.sentence(a)
	case v.judged == 0 && v.pending > 0:
		return Inconclusive, fmt.Sprintf("the record ends before the bound of %s was over for any "+
			"of %s to a pod", Moment(v.bound), plural(v.pending, "propagation"))
	case v.judged == 0 && v.superseded > 0:
		return Inconclusive, fmt.Sprintf("each of %s to a pod was replaced before the bound of %s "+
			"was over", plural(v.superseded, "write"), Moment(v.bound))
	case v.judged == 0:
		return Pass, "no Secret was written, so nothing had to propagate"
	}
	return Pass, fmt.Sprintf("%s to a pod, each within the bound of %s",
		plural(v.judged, "propagation"), Moment(v.bound))
}

// notTheirs says why a bound that the plan's nodes have says nothing of others.
func (a *Analysis) notTheirs(bound time.Duration) string {
	return fmt.Sprintf("the nodes are not those of the plan (--allow-partial), so its bound of %s "+
		"says nothing: %s", Moment(bound), strings.Join(a.unlike, "; "))
}

// lateness gathers what became of writes at pods.
type lateness struct {
	judged, pending, superseded, late, never int64
	bound, longest                           time.Duration
	pod                                      int
	write                                    int
	arrived                                  bool // the worst came in the end
}

// judge follows the writes of a pod's secret with its uses.
func (v *lateness) judge(a *Analysis, pod int, history []int) {
	bound := a.bounds.settled[pod].within
	v.bound = max(v.bound, bound)
	fetches := a.usesJWKS(pod)
	var published []string
	for i, index := range history {
		w := a.secrets.writes[index]
		if w.generation < 0 {
			continue
		}
		before := published
		if !a.unusable(w) {
			published = a.generations.trust[w.generation]
		}
		if w.at == 0 || w.same || fetches && slices.Equal(before, published) {
			continue
		}
		deadline := w.at + bound
		switch {
		case a.unusable(w) || i+1 < len(history) && a.spoiled(history[i+1], deadline):
			v.superseded++
		case deadline > a.reached:
			v.pending++
		default:
			at, up := a.upFrom(pod, deadline)
			if up {
				v.judged++
				v.compare(a, pod, index, at)
			}
		}
	}
}

// spoiled reports whether the write that followed another made it hard to get at in time.
func (a *Analysis) spoiled(next int, deadline time.Duration) bool {
	w := a.secrets.writes[next]
	return w.at <= deadline && a.unusable(w)
}

// compare finds whether the pod used the write, or a newer one, by the deadline.
func (v *lateness) compare(a *Analysis, pod int, index int, deadline time.Duration) {
	i := a.inUse(pod, deadline)
	if i >= 0 && a.current(a.uses[pod][i], index) {
		return
	}
	v.late++
	arrived, at := false, a.reached
	for i++; i < len(a.uses[pod]) && !arrived; i++ {
		arrived = a.current(a.uses[pod][i], index)
		if arrived {
			at = a.uses[pod][i].at
		}
	}
	if !arrived {
		v.never++
	}
	if took := at - a.secrets.writes[index].at; took > v.longest {
		v.longest, v.pod, v.write, v.arrived = took, pod, index, arrived
	}
}

// current reports whether the use is of the write's content or of newer.
func (a *Analysis) current(u use, index int) bool {
	return u.write >= index ||
		u.write >= 0 && a.secrets.writes[u.write].generation == a.secrets.writes[index].generation
}

func (v *lateness) sentence(a *Analysis) string {
	w := a.secrets.writes[v.write]
	fate := "after " + Moment(v.longest)
	if !v.arrived {
		fate = "not within the " + Moment(v.longest) + " that were left"
	}
	never := ""
	if v.never > 0 {
		never = fmt.Sprintf(" (%s of them never)", Number(v.never))
	}
	return fmt.Sprintf("%s of %s to a pod came later than the bound%s; the worst was %s, "+
		"written at %s, which reached %s %s; its bound is %s", Number(v.late),
		plural(v.judged, "propagation"), never, a.contentOf(w),
		Moment(w.at), a.pods.name(v.pod), fate, Moment(a.bounds.settled[v.pod].within))
}
