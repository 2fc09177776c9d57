package scenarios

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// The labels of a workload's pods, which a RotatingSecret's consumers may be selected by.
const (
	PodWorkload = "certquake.dev/workload"
	PodName     = "certquake.dev/pod"
)

// workloadKind is one kind of workload.
type workloadKind interface {
	// check gathers problems with the kind's own settings.
	check(c *checker, path string)
	// pods is the number of pods, secret the name of the Secret they mount; "" for none.
	pods() int
	secret() string
	// plan adds w's group to the plan, its settings resolved.
	plan(plan *Plan, w *Workload) Consumer
}

// kinds returns the names of the kinds that are set, in the order of Workload's fields, and the
// last one itself.
func (w *Workload) kinds() (names []string, last workloadKind) {
	value := reflect.ValueOf(w).Elem()
	for _, field := range fieldsOf(value.Type()) {
		kind, ok := reflect.TypeAssert[workloadKind](value.FieldByIndex(field.index))
		if ok && !reflect.ValueOf(kind).IsNil() {
			names = append(names, field.name)
			last = kind
		}
	}
	return names, last
}

// fieldKinds returns the names of the fields of a struct whose types are of kind K.
func fieldKinds[K any](structure any) []string {
	t := reflect.TypeOf(structure)
	var names []string
	for _, field := range fieldsOf(t) {
		if t.FieldByIndex(field.index).Type.Implements(reflect.TypeFor[K]()) {
			names = append(names, field.name)
		}
	}
	return names
}

// replicas is the number of the workload's pods, 0 if it is of no kind.
func (w *Workload) replicas() int {
	_, kind := w.kinds()
	if kind == nil {
		return 0
	}
	return max(0, min(kind.pods(), podsMax+1))
}

// serverName is the name a workload is dialled by unless it is given.
func (w *Workload) serverName() string {
	return w.Name + "." + orDefault(w.Namespace, DefaultNamespace) + ".svc.cluster.local"
}

// orDefault returns the text, or the default if it is empty.
func orDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// tlsVersion returns crypto/tls's number of a protocol version.
func tlsVersion(name string) uint16 {
	if name == "TLSv1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// cipherSuites returns all suites crypto/tls has.
func cipherSuites() []*tls.CipherSuite {
	return append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
}

// suites checks the names of cipher suites for a highest protocol version.
func (c *checker) suites(path string, names []string, highest uint16) {
	var known []string
	for _, suite := range cipherSuites() {
		if slices.Contains(suite.SupportedVersions, highest) || highest == tls.VersionTLS13 {
			known = append(known, suite.Name)
		}
	}
	for i, name := range names {
		if !slices.Contains(known, name) {
			hint := didYouMean(name, known)
			if hint == "" {
				hint = "suites are named as in Go's crypto/tls, such as " + defaultSuite
			}
			c.problem(path+"["+strconv.Itoa(i)+"]",
				fmt.Sprintf("%q is no cipher suite of this protocol", name), hint)
		}
	}
}

// suiteIDs returns the suites of TLS 1.2 among the names; those of 1.3 cannot be configured.
func suiteIDs(names []string) []uint16 {
	var ids []uint16
	for _, name := range names {
		for _, suite := range cipherSuites() {
			if suite.Name == name && slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				ids = append(ids, suite.ID)
			}
		}
	}
	return ids
}
