package reports

import (
	"fmt"
	"slices"
)

// checkAssociations fails when an association that ended, or never stood, was kept down by
// credentials.
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
	switch {
	case !slices.ContainsFunc(a.plan.Peers, associates):
		return Pass, "no workload keeps associations, so none could be lost"
	case figures.Established == 0:
		return Inconclusive, "the workloads keep associations but none was recorded"
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
