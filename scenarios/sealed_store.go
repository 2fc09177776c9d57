package scenarios

import (
	"fmt"
	"strings"

	"github.com/certquake/certquake/workloads/rotation"
)

// The sizes of stores. A store keeps a number for each record, and a run has all stores at once.
const (
	defaultRecords = 10_000
	recordsMax     = 1_000_000
	allRecordsMax  = 50_000_000
	sealKeySize    = 32 // of a key that package sealed takes, in bytes
)

func (s *SealedStore) pods() int      { return s.Replicas }
func (s *SealedStore) secret() string { return s.Secret }

func (s *SealedStore) check(c *checker, path string) {
	c.keyReload(path, s.KeyringTTL, s.ReadOnce)
	if s.Records > recordsMax {
		c.problem(path+".records", fmt.Sprintf("%d is more than %d", s.Records, recordsMax), "")
	}
}

// records is how many each pod keeps.
func (s *SealedStore) records() int {
	if s.Records == 0 {
		return defaultRecords
	}
	return s.Records
}

func (s *SealedStore) plan(plan *Plan, w *Workload) Consumer {
	group := StoreGroup{
		Consumer: keyConsumer(w, s.Secret, s.KeyringTTL, s.ReadOnce), Records: s.records(),
	}
	plan.Stores = append(plan.Stores, group)
	return group.Consumer
}

// sealingKeys checks that records can be sealed with the keys of a workload's Secret.
func (c *checker) sealingKeys(path, secret string) {
	c.keys(path, secret)
	rotating := c.s.World.RotatingSecretOf(secret)
	if rotating == nil {
		return
	}
	spec, _ := rotating.Spec.Rotation()
	if key := spec.Generate; key.Kind != rotation.Symmetric || key.Length != sealKeySize {
		c.problem(path, "no record can be sealed with the keys of "+secret,
			fmt.Sprintf("have its RotatingSecret generate {kind: %s, length: %d}",
				rotation.Symmetric, sealKeySize))
	}
}

// storeSize bounds the records of all stores, which a run holds at once.
func (c *checker) storeSize() {
	all := 0
	for i := range c.s.Spec.Workloads {
		w := &c.s.Spec.Workloads[i]
		if w.SealedStore != nil {
			all += w.replicas() * min(w.SealedStore.records(), recordsMax)
		}
	}
	if all > allRecordsMax {
		c.problem("workloads", fmt.Sprintf("keep %d records in all, more than %d", all,
			allRecordsMax), "have fewer pods of stores, or fewer records in each")
	}
}

// loadKind is one kind of attempts that a load may be of.
type loadKind struct {
	name  string
	op    Op
	dials *Dials
}

// allKinds returns every kind, of which those that are given have dials.
func (l *Load) allKinds() []loadKind {
	return []loadKind{
		{"newConnections", Calls, l.NewConnections},
		{"requests", Calls, l.Requests},
		{"reads", Reads, l.Reads},
		{"writes", Writes, l.Writes},
	}
}

// kind returns what the load is of; the zero value if it is of nothing.
func (l *Load) kind() loadKind {
	for _, kind := range l.allKinds() {
		if kind.dials != nil {
			return kind
		}
	}
	return loadKind{}
}

// oneLoad checks that a load is of exactly one kind of attempts.
func (c *checker) oneLoad(path string, load *Load) {
	var names, given []string
	for _, kind := range load.allKinds() {
		names = append(names, kind.name)
		if kind.dials != nil {
			given = append(given, kind.name)
		}
	}
	switch {
	case len(given) == 0:
		c.problem(path, "has none of "+strings.Join(names, ", "), "")
	case len(given) > 1:
		c.problem(path, "has both "+strings.Join(given, " and "), "write one load for each")
	}
}

// storeLoad checks a load of reads or writes, each pod's of its own store.
func (c *checker) storeLoad(path string, load *Load, source *Workload) {
	if names, _ := source.kinds(); source.SealedStore == nil && len(names) > 0 {
		c.problem(path+".workload", source.Name+" is no sealedStore",
			"only a sealedStore has records")
	}
	if len(load.To) > 0 {
		c.problem(path+".to", "has no effect: each pod reads and writes its own records",
			"leave it out")
	}
}

// migration checks that somebody moves data where a RotatingSecret has it moved.
func (o *objects) migration(object place, secret string, job []byte) {
	problem := o.at(object)
	if !o.stored[secret] {
		problem("spec.migration", "nobody has data under the keys of "+secret,
			"add a sealedStore that mounts it, or leave migration out")
	}
	if len(job) > 0 {
		problem("spec.migration.jobTemplate", "is not run in scenarios: stores move their own data",
			"write migration: {}")
	}
}

// stored returns the Secrets that stores have records under keys of.
func (s *Scenario) stored() map[string]bool {
	secrets := map[string]bool{}
	for i := range s.Spec.Workloads {
		if w := &s.Spec.Workloads[i]; w.SealedStore != nil {
			secrets[w.keySecret()] = true
		}
	}
	return secrets
}

// StoreOf returns the group of the workload, or nil if it is none of stores.
func (p *Plan) StoreOf(workload string) *StoreGroup {
	for i := range p.Stores {
		if p.Stores[i].Workload == workload {
			return &p.Stores[i]
		}
	}
	return nil
}

// Migrates reports whether the records of a group are moved to a new key before the old one goes.
func (p *Plan) Migrates(group *StoreGroup) bool {
	rotating := p.World.RotatingSecretOf(group.Secret)
	return rotating != nil && rotating.Spec.Migration != nil
}
