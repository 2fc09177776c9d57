package reports

import (
	"fmt"
	"strings"

	"github.com/certquake/certquake/scenarios"
)

// viewStore is a workload of data at rest.
type viewStore struct {
	scenarios.StoreGroup
	Pods          int
	Reload, Bound string
	Migrates      bool
}

// viewStore returns what a page says of a group.
func (a *Analysis) viewStore(group *scenarios.StoreGroup) viewStore {
	return viewStore{
		StoreGroup: *group, Reload: reloadOf(group.Consumer),
		Bound:    Moment(a.boundOf(group.Workload)),
		Migrates: a.plan.Migrates(group),
		Pods:     a.podsWhere(func(p scenarios.Pod) bool { return p.Workload == group.Workload }),
	}
}

// Under writes how many records are under which key in the end.
func (s Store) Under() string {
	var keys []string
	for _, k := range s.Keys {
		keys = append(keys, fmt.Sprintf("%s under %s", Number(k.Records), k.Key))
	}
	if s.Unknown > 0 {
		keys = append(keys, Number(s.Unknown)+" not known")
	}
	return strings.Join(keys, ", ")
}

// Done writes how many pods are done with a migration.
func (m Migration) Done() string {
	text := fmt.Sprintf("%d of %d", m.Pods, m.Of)
	if m.Failed > 0 {
		text += fmt.Sprintf(", %d failed", m.Failed)
	}
	return text
}

// storeFiguresOf picks the figures of data at rest that stand out on a page.
func storeFiguresOf(stores []Store) []figure {
	var all []figure
	for _, s := range stores {
		all = append(all, figure{
			"unreadable records of " + s.Workload, Number(s.Unreadable),
			fmt.Sprintf("of %s in the end; %s refused, and %s", Number(s.Records),
				plural(s.Refused, "read"), plural(s.Unsealed, "write")),
		})
	}
	return all
}

// verdicts says what judged the attempts of a plan with data at rest, and what is modelled around
// that.
func (t traffic) verdicts() string {
	var code []string
	material, around := "keys", "kubelets, network"
	if t.peers {
		code, material, around = []string{"TLS"}, "certificates and keys", "cert-manager, "+around
	}
	if t.tokens {
		code = append(code, "JWT")
	}
	code = append(code, "AES-GCM")
	return "Verdicts come from real " + strings.Join(code, ", ") + " code on real " + material +
		", and the steps of rotations from the operator's own code; the API server, " + around
}
