package reports

import (
	"fmt"

	"github.com/certquake/certquake/harness/record"
)

// checkTornPair fails when a process took a key into use that does not belong to its certificate,
// and when a peer could not prove possession of its key. Key rings hold no certificates.
func checkTornPair(a *Analysis) (Status, string) {
	t := a.tally(func(f *failure) bool {
		return !f.call && !f.access && f.outcome == record.BadSignature
	})
	torn, first := a.tornUses()
	switch {
	case torn > 0:
		reason := fmt.Sprintf("%s a key was taken into use with a certificate it does not "+
			"belong to; the first time by %s at %s (%s)", times(torn), a.pods.name(first.pod),
			Moment(first.at), a.generations.at(first.generation).Leaf)
		if t.count > 0 {
			reason += fmt.Sprintf("; %s failed by it", plural(t.count, "attempt"))
		}
		return Fail, reason
	case t.count > 0:
		return Fail, fmt.Sprintf("%s met a peer that does not hold its certificate's key; "+
			"the first was %s", plural(t.count, "attempt"), a.describe(t.first))
	}
	reloads := a.reloads()
	if a.traffic.keys() && !a.traffic.peers {
		return Pass, "no workload has certificates, so none could have another's key"
	}
	if reloads == 0 {
		return Pass, "no pod read a new key pair, so none could be torn"
	}
	return Pass, plural(reloads, "reload") + ", and each time key and certificate belonged together"
}

// tornUses returns how often a torn pair was taken into use, and the first of them.
func (a *Analysis) tornUses() (int64, use) {
	var count int64
	var first use
	for _, uses := range a.uses {
		for _, u := range uses {
			if !a.generations.at(u.generation).Torn {
				continue
			}
			if count == 0 || u.at < first.at {
				first = u
			}
			count++
		}
	}
	return count, first
}

// reloads returns how often pods took certificates into use after the start of the run.
func (a *Analysis) reloads() int64 {
	var count int64
	for pod, uses := range a.uses {
		if a.ringed(pod) {
			continue
		}
		for i := range uses {
			if uses[i].at > 0 {
				count++
			}
		}
	}
	return count
}
