package reports

import (
	"fmt"
	"iter"
	"slices"
)

// checkAssociations fails when an association that ended, or never stood, was kept down by
// credentials, and when one ended although both of its pods were up and no fault had disturbed the
// network between them. It is inconclusive when one that the plan has never stood.
func checkAssociations(a *Analysis) (Status, string) {
	t := a.tally(func(f *failure) bool { return f.association && f.outcome.Credential() })
	figures := a.associationFigures()
	if t.count > 0 {
		return Fail, fmt.Sprintf(
			"%s to associate failed for a credential reason, until %s; of %s "+
				"%d had not come back when the run ended; the first was %s",
			plural(t.count, "attempt"), Moment(t.last.to),
			plural(figures.Established, "association"), figures.DownAtEnd, a.describe(t.first))
	}
	if stray, first := a.strayEndings(); stray > 0 {
		return Fail, fmt.Sprintf("of %s that ended, %s did although both pods were up; the first "+
			"was %s -> %s at %s", plural(figures.Dropped, "association"), Number(stray),
			a.pods.name(first.source), a.pods.name(first.peer), Moment(first.from))
	}
	planned, never, first := a.neverStood()
	switch {
	case !slices.ContainsFunc(a.plan.Peers, associates):
		return Pass, "no workload keeps associations, so none could be lost"
	case figures.Established == 0:
		return Inconclusive, "the workloads keep associations but none was recorded"
	case never > 0:
		return Inconclusive, fmt.Sprintf("of %s planned, %s never stood; the first is %s -> %s",
			plural(planned, "association"), Number(never), a.pods.name(first[0]),
			a.pods.name(first[1]))
	case figures.Dropped == 0:
		return Pass, plural(figures.Established, "association") + " stood throughout"
	case figures.DownAtEnd > 0:
		return Inconclusive, fmt.Sprintf("of %s that ended, %d had not come back when the run did",
			plural(figures.Dropped, "association"), figures.DownAtEnd)
	}
	return Pass, fmt.Sprintf("of %s, %s ended and came back, %s without one in all",
		plural(figures.Established, "association"), Number(figures.Dropped),
		Moment(figures.Lost.duration()))
}

// strayEndings returns how many associations ended while neither of their pods went down, was down
// or came up, over a network that was in order, and the first of them. A record that does not show
// pods' lifetimes tells of none.
func (a *Analysis) strayEndings() (int64, ending) {
	var count int64
	var first ending
	if !a.lifetimes() {
		return 0, first
	}
	for _, e := range a.associations.endings {
		if !a.linkedIn(e.stretch, 1, e.source, e.peer) {
			continue
		}
		if count == 0 || e.from < first.from {
			first = e
		}
		count++
	}
	return count, first
}

// neverStood returns how many associations the plan has, how many of them never stood, and the
// first of these as source and peer.
func (a *Analysis) neverStood() (planned, never int64, first [2]int) {
	pods := map[string][]int{}
	for i, workload := range a.dials.workloads {
		pods[workload] = append(pods[workload], i)
	}
	for _, group := range a.plan.Peers {
		for pair := range associationsOf(group.Associations, pods[group.Workload]) {
			planned++
			if a.associations.stood(pair[0], pair[1]) {
				continue
			}
			if never == 0 {
				first = pair
			}
			never++
		}
	}
	return planned, never, first
}

// associationsOf yields the source and peer of each association between a workload's pods: of each
// with the next in a ring, of each with every later one in a mesh.
func associationsOf(shape string, pods []int) iter.Seq[[2]int] {
	return func(yield func([2]int) bool) {
		for i, source := range pods {
			var peers []int
			switch {
			case shape == "mesh":
				peers = pods[i+1:]
			case shape == "ring" && i+1 < len(pods):
				peers = pods[i+1 : i+2]
			case shape == "ring" && len(pods) > 2:
				peers = pods[:1]
			}
			for _, peer := range peers {
				if !yield([2]int{source, peer}) {
					return
				}
			}
		}
	}
}
