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
	generation int  // -1 once the Secret was deleted
	same       bool // the content is that of the write before: no kubelet projects it again
}

// secrets is the history of every Secret.
type secrets struct {
	numbers map[string]int
	names   []string
	writes  []write
	history [][]int // by secret, indices into writes in order
	mounted []int   // by planned pod, its secret
}

func newSecrets(plan scenarios.Plan) secrets {
	s := secrets{numbers: map[string]int{}}
	mounts := map[string]int{}
	for _, group := range plan.Peers {
		mounts[group.Workload] = s.index(group.Secret)
	}
	for _, pod := range plan.Pods {
		number, ok := mounts[pod.Workload]
		if !ok {
			number = -1
		}
		s.mounted = append(s.mounted, number)
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

// secretOf returns the secret a pod mounts, or -1.
func (a *Analysis) secretOf(pod int) int {
	if pod < 0 || pod >= len(a.secrets.mounted) {
		return -1
	}
	return a.secrets.mounted[pod]
}
