package scenarios

import (
	"fmt"
	"slices"
	"strconv"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
)

// checker checks what a scenario means: that names exist, times are possible and settings fit
// together.
type checker struct {
	*collector
	s        *Scenario
	complete bool // all manifests could be read, so that a name that is missing does not exist
}

// problem gathers a problem of the scenario, at a path below spec.
func (c *checker) problem(path, what, hint string) {
	c.add(c.scenario, join("spec", path), what, hint)
}

func (c *checker) notNegative(path string, d Duration) {
	if d < 0 {
		c.problem(path, d.String()+" is negative", "")
	}
}

func (c *checker) positive(path string, d Duration) {
	if d <= 0 {
		c.problem(path, d.String()+" is not positive", "")
	}
}

// exactlyOne checks that one of two fields is given.
func (c *checker) exactlyOne(path, one string, hasOne bool, other string, hasOther bool) {
	switch {
	case hasOne && hasOther:
		c.problem(path, fmt.Sprintf("has both %s and %s", one, other), "leave one out")
	case !hasOne && !hasOther:
		c.problem(path, fmt.Sprintf("has neither %s nor %s", one, other), "")
	}
}

// certificate returns the Certificate named, or nil, after a problem if it does not exist.
func (c *checker) certificate(path, name string) *certmanager.Certificate {
	full := qualify(DefaultNamespace, name)
	found := c.s.World.Certificate(full)
	if found == nil && c.complete && name != "" {
		c.problem(path, "there is no Certificate "+full,
			didYouMeanOr(full, "Certificate", c.s.World.certificateNames()))
	}
	return found
}

func (c *checker) certificates(path string, names []string) {
	for i, name := range names {
		at := path + "[" + strconv.Itoa(i) + "]"
		if slices.Contains(names[:i], name) {
			c.problem(at, fmt.Sprintf("%q is listed twice", name), "")
		}
		if name == "" {
			c.problem(at, "is empty", "")
		}
		c.certificate(at, name)
	}
}

// secret checks that a Certificate writes the Secret.
func (c *checker) secret(path, name string) {
	full := qualify(DefaultNamespace, name)
	if name == "" || !c.complete || c.s.World.CertificateOf(full) != nil {
		return
	}
	c.problem(path, "no Certificate writes the Secret "+full,
		didYouMeanOr(full, "Secret", c.s.World.secretNames()))
}

// nodes checks the nodes a fault names.
func (c *checker) nodes(path, one string, more []string) {
	c.exactlyOne(path, "node", one != "", "nodes", len(more) > 0)
	if one != "" {
		c.node(path+".node", one)
	}
	for i, name := range more {
		c.node(path+".nodes["+strconv.Itoa(i)+"]", name)
	}
}

func (c *checker) node(path, name string) {
	if len(c.s.nodesNamed(name)) > 0 {
		return
	}
	var names []string
	for _, node := range c.s.nodes() {
		names = append(names, node.Name)
	}
	c.problem(path, fmt.Sprintf("there is no node %q", name), didYouMeanOr(name, "node", names))
}

// workload returns the workload named, or nil after a problem.
func (c *checker) workload(path, name string) *Workload {
	if w := c.s.workloadNamed(name); w != nil {
		return w
	}
	var names []string
	for i := range c.s.Spec.Workloads {
		names = append(names, c.s.Spec.Workloads[i].Name)
	}
	if name != "" {
		c.problem(path, fmt.Sprintf("there is no workload %q", name),
			didYouMeanOr(name, "workload", names))
	}
	return nil
}

// pods checks the pods a fault names or counts.
func (c *checker) pods(path, workload string, count int, names []string) {
	c.exactlyOne(path, "pods", count != 0, "podNames", len(names) > 0)
	w := c.workload(path+".workload", workload)
	if w == nil {
		return
	}
	replicas := w.replicas()
	if replicas == 0 {
		return // reported already
	}
	if count > replicas {
		c.problem(path+".pods",
			fmt.Sprintf("%d is more than the %d pods of %s", count, replicas, workload), "")
	}
	exists, listed := map[string]bool{}, map[string]bool{}
	for _, name := range podNames(workload, replicas) {
		exists[name] = true
	}
	for i, name := range names {
		at := path + ".podNames[" + strconv.Itoa(i) + "]"
		if listed[name] {
			c.problem(at, fmt.Sprintf("%q is listed twice", name), "")
		}
		listed[name] = true
		if !exists[name] {
			c.problem(at, fmt.Sprintf("there is no pod %q", name), fmt.Sprintf(
				"the pods of %s are %s", workload, podRange(workload, replicas)))
		}
	}
}

func podNames(workload string, replicas int) []string {
	names := make([]string, 0, replicas)
	for i := range replicas {
		names = append(names, podName(workload, i))
	}
	return names
}

func podName(workload string, index int) string { return workload + "-" + strconv.Itoa(index) }

// podRange names the pods of a workload for people.
func podRange(workload string, replicas int) string {
	if replicas == 1 {
		return podName(workload, 0)
	}
	return podName(workload, 0) + " to " + podName(workload, replicas-1)
}

// kubelet checks a kubelet's settings.
func (c *checker) kubelet(path string, k Kubelet) {
	if k.SyncFrequency < 0 || k.SyncFrequency == 0 && c.given(path+".syncFrequency") {
		c.problem(path+".syncFrequency", k.SyncFrequency.String()+" is not positive", "")
	}
	c.notNegative(path+".cacheTTL", k.CacheTTL)
	if k.CacheTTL != 0 && k.ChangeDetection != Cache && c.sound(path+".changeDetection") {
		c.problem(path+".cacheTTL", "has no effect", "set changeDetection: Cache")
	}
}

// given reports whether the path below spec was written out in the file.
func (c *checker) given(path string) bool {
	return c.marked(c.scenario, join("spec", path))
}

// qualifyAll returns the names as plans have them, in the default namespace unless they say else.
func qualifyAll(names []string) []string {
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = qualify(DefaultNamespace, name)
	}
	return full
}
