package reports

import (
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Store is what became of the data at rest of one workload, of all its pods together.
type Store struct {
	Workload string `json:"workload"`
	Secret   string `json:"secret"`
	Records  int64  `json:"records"` // that the plan has them keep
	// Keys are what the records are under in the end, as far as the record says.
	Keys       []StoreKey `json:"keys"`
	Unreadable int64      `json:"unreadable"` // of these, that their pod has no key for
	Unknown    int64      `json:"unknown"`    // records of which the end is not known
	// Refused are reads that failed by their keys, Unsealed writes.
	Refused    int64       `json:"refused_reads"`
	Unsealed   int64       `json:"refused_writes"`
	Migrations []Migration `json:"migrations"` // in the order in which they began
}

// StoreKey is the records under one key.
type StoreKey struct {
	Key        string `json:"key"`
	Records    int64  `json:"records"`
	Unreadable int64  `json:"unreadable"`
}

// Migration is records that were moved from one key to another.
type Migration struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Records int64   `json:"records"`
	Pods    int     `json:"pods"`          // that are done
	Failed  int     `json:"failed_pods"`   // that could not go on
	Of      int     `json:"of_pods"`       // that have records
	Begun   Seconds `json:"begun_seconds"` // by the first pod
	Ended   Seconds `json:"ended_seconds"` // by the last
}

// addStored takes a row of a store's end, or of the end of a migration in it.
func (a *Analysis) addStored(span *record.Span) { a.stored = append(a.stored, *span) }

// storeFigures returns what became of the data at rest of each workload, in the plan's order.
func (a *Analysis) storeFigures() []Store {
	var all []Store
	for i := range a.plan.Stores {
		all = append(all, a.storeFigure(&a.plan.Stores[i]))
	}
	return all
}

func (a *Analysis) storeFigure(group *scenarios.StoreGroup) Store {
	pods := a.dials.replicas[group.Workload]
	s := Store{
		Workload: group.Workload, Secret: group.Secret, Records: int64(pods * group.Records),
		Keys: []StoreKey{}, Migrations: []Migration{},
	}
	s.Unknown = s.Records
	for i := range a.stored {
		row := &a.stored[i]
		if a.storeOf(a.pods.index(row.Source)) != group {
			continue
		}
		if row.Kind == record.Stored {
			s.keep(row)
		} else {
			s.moved(row, pods)
		}
	}
	of := func(writes bool) int64 {
		return a.tally(func(f *failure) bool {
			return f.access && f.outcome.Credential() && a.storeOf(f.source) == group &&
				writes == (f.outcome == record.NoPrimary)
		}).count
	}
	s.Refused, s.Unsealed = of(false), of(true)
	return s
}

// keep adds what one pod has under one key in the end.
func (s *Store) keep(row *record.Span) {
	if row.Own == nil {
		return
	}
	s.Unknown -= row.Count
	var unreadable int64
	if row.Outcome.Failed() {
		unreadable = row.Count
	}
	s.Unreadable += unreadable
	id := idOf(row.Own.Leaf)
	for i := range s.Keys {
		if k := &s.Keys[i]; k.Key == id {
			k.Records += row.Count
			k.Unreadable += unreadable
			return
		}
	}
	s.Keys = append(s.Keys, StoreKey{id, row.Count, unreadable})
}

// moved adds the end of a migration in one pod.
func (s *Store) moved(row *record.Span, pods int) {
	from, to, _ := strings.Cut(row.Detail, " > ")
	begun, ended := seconds(row.From), seconds(row.To)
	at := -1
	for i := range s.Migrations {
		if s.Migrations[i].From == from && s.Migrations[i].To == to {
			at = i
		}
	}
	if at < 0 {
		at = len(s.Migrations)
		s.Migrations = append(s.Migrations, Migration{
			From: from, To: to, Of: pods, Begun: begun, Ended: ended,
		})
	}
	m := &s.Migrations[at]
	m.Records += row.Count
	m.Begun, m.Ended = min(m.Begun, begun), max(m.Ended, ended)
	if row.Outcome.Failed() {
		m.Failed++
	} else {
		m.Pods++
	}
}

// storeOf returns the pod's group if it keeps data at rest, or nil.
func (a *Analysis) storeOf(pod int) *scenarios.StoreGroup {
	if len(a.plan.Stores) == 0 || !a.dials.planned(pod) {
		return nil
	}
	return a.plan.StoreOf(a.dials.workloads[pod])
}

// ringed reports whether the pod has keys with ids, and no certificate.
func (a *Analysis) ringed(pod int) bool { return a.secrets.rings[a.secretOf(pod)] }

// unreadable returns how many records cannot be read in the end.
func (a *Analysis) unreadable() (n int64) {
	for _, s := range a.storeFigures() {
		n += s.Unreadable
	}
	return n
}
