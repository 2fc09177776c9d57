package reports

import (
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// roster numbers pods: those of the plan in its order, then any other the record names.
type roster struct {
	numbers map[string]int
	names   []string
	planned int
}

func newRoster(plan scenarios.Plan) roster {
	r := roster{numbers: make(map[string]int, len(plan.Pods)), planned: len(plan.Pods)}
	for _, pod := range plan.Pods {
		r.index(pod.Name)
	}
	return r
}

// index returns the number of a pod, numbering it when it is new. Number -1 is no pod at all.
func (r *roster) index(name string) int {
	if name == "" {
		return -1
	}
	if number, ok := r.numbers[name]; ok {
		return number
	}
	number := len(r.names)
	r.numbers[name] = number
	r.names = append(r.names, name)
	return number
}

// name returns the name of a numbered pod, "?" for none.
func (r *roster) name(number int) string {
	if number < 0 {
		return "?"
	}
	return r.names[number]
}

// generations numbers the generations of a record, so that rows hold four bytes of them.
type generations struct {
	numbers map[record.Generation]int
	all     []record.Generation
	trust   [][]string // the CAs of each, split
}

func newGenerations() generations {
	return generations{numbers: map[record.Generation]int{}}
}

func (g *generations) index(generation record.Generation) int {
	if number, ok := g.numbers[generation]; ok {
		return number
	}
	number := len(g.all)
	g.numbers[generation] = number
	g.all = append(g.all, generation)
	g.trust = append(g.trust, authorities(generation.Trust))
	return number
}

// indexOf is index for a generation that may be missing, which is number -1.
func (g *generations) indexOf(generation *record.Generation) int {
	if generation == nil {
		return -1
	}
	return g.index(*generation)
}

// at returns a numbered generation, the empty one for -1.
func (g *generations) at(number int) record.Generation {
	if number < 0 {
		return record.Generation{}
	}
	return g.all[number]
}

// authorities splits the trust of a generation into the names of its CAs.
func authorities(trust string) []string {
	if trust == "" {
		return nil
	}
	return strings.Split(trust, "+")
}
