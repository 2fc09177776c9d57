package reports

import (
	"math"
	"slices"
	"sort"
	"time"
)

// use is a pod taking content into use, from at until its next use.
type use struct {
	pod        int
	generation int
	write      int  // where the content came from, -1 when unknown
	first      bool // a propagation: the pod's first use of a write that it did not start with
	written    time.Duration
	projected  time.Duration
	at         time.Duration
	notAfter   time.Duration
}

// byPod groups uses by pod and keeps their order, in one allocation.
func byPod(all []use, pods int) [][]use {
	counts := make([]int, pods+1)
	for i := range all {
		counts[all[i].pod+1]++
	}
	for i := 1; i <= pods; i++ {
		counts[i] += counts[i-1]
	}
	sorted := make([]use, len(all))
	next := slices.Clone(counts)
	for i := range all {
		slot := &next[all[i].pod]
		sorted[*slot] = all[i]
		*slot++
	}
	groups := make([][]use, pods)
	for i := range groups {
		groups[i] = sorted[counts[i]:counts[i+1]:counts[i+1]]
	}
	return groups
}

// markFirstUses finds the uses that measure a propagation. Content that a pod had at offset 0 or
// read when it started after the write was not propagated to it, and a second read of the same
// write is no news, nor that another key signs to those who fetch the keys that verify.
func (a *Analysis) markFirstUses() {
	for pod, uses := range a.uses {
		newest := time.Duration(0)
		fetches := a.usesJWKS(pod)
		for i := range uses {
			u := &uses[i]
			if u.written > newest && u.at > u.written { // no extent: it was in use before
				news := !fetches || i == 0 || !a.sameTrust(u.generation, uses[i-1].generation)
				u.first = news && !a.startedIn(pod, u.written, u.at)
				newest = u.written
			}
		}
	}
}

// sameTrust reports whether both generations trust the same.
func (a *Analysis) sameTrust(one, other int) bool {
	return a.generations.at(one).Trust == a.generations.at(other).Trust
}

// startedIn reports whether the pod started at an offset in [from, to].
func (a *Analysis) startedIn(pod int, from, to time.Duration) bool {
	return slices.ContainsFunc(a.starts[pod], func(at time.Duration) bool {
		return from <= at && at <= to
	})
}

// until returns when the i-th use of a pod ended: at its next use, when the pod went down, or at
// the end of the record.
func (a *Analysis) until(pod, i int) time.Duration {
	uses := a.uses[pod]
	end := a.reached
	if i+1 < len(uses) {
		end = uses[i+1].at
	}
	for _, down := range a.downs[pod] {
		if down.from >= uses[i].at && down.from < end {
			return down.from
		}
	}
	return end
}

// downAt reports whether the pod was down at the offset.
func (a *Analysis) downAt(pod int, at time.Duration) bool {
	return slices.ContainsFunc(a.downs[pod], func(down stretch) bool {
		return down.from <= at && at < down.to
	})
}

// firstRead is how long after its start a process has read its files at the latest, where that
// takes time at all.
const firstRead = time.Second

// upFrom returns the offset, or when the pod came up next, and had read its files, if it is down
// then; false if it never did.
func (a *Analysis) upFrom(pod int, at time.Duration) (time.Duration, bool) {
	if !a.downAt(pod, at) {
		return at, true
	}
	for _, start := range a.starts[pod] {
		if start < at {
			continue
		}
		next := a.inUse(pod, start) + 1
		if uses := a.uses[pod]; next < len(uses) && uses[next].at <= start+firstRead &&
			(next == 0 || uses[next-1].at < start) {
			return uses[next].at, true
		}
		return start, true
	}
	return 0, false
}

// inUse returns the index of what the pod had in use at the offset, or -1.
func (a *Analysis) inUse(pod int, at time.Duration) int {
	uses := a.uses[pod]
	return sort.Search(len(uses), func(i int) bool { return uses[i].at > at }) - 1
}

// changed returns when the pod next took content into use after the offset, or went down.
func (a *Analysis) changed(pod int, after time.Duration) time.Duration {
	next := time.Duration(math.MaxInt64)
	if i := a.inUse(pod, after) + 1; i < len(a.uses[pod]) {
		next = a.uses[pod][i].at
	}
	for _, down := range a.downs[pod] {
		if down.from > after {
			next = min(next, down.from)
		}
	}
	return next
}
