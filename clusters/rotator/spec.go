package rotator

import (
	"fmt"
	"strings"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// asked is the spec of a RotatingSecret in terms of what is done for it.
type asked struct {
	rotation rotation.Spec
	secret   string // the name
	ask      *endpoint
	job      *batch.JobTemplateSpec
}

// endpoint is where consumers tell their rings.
type endpoint struct {
	selector labels.Selector
	port     intstr.IntOrString
	path     string
}

// reading gathers what is wrong with a spec.
type reading struct{ problems []rotation.Problem }

func (r *reading) wrong(path, what, hint string) {
	r.problems = append(r.problems, rotation.Problem{
		Reason: rotation.InvalidSpec, Path: "spec." + path, What: what, Hint: hint,
	})
}

// read returns what a RotatingSecret asks for, and everything wrong with it. The API server refuses
// most of that, but a definition may be older than the operator.
func read(rs *api.RotatingSecret) (asked, []rotation.Problem) {
	r := &reading{}
	if len(rs.Name) > validation.LabelValueMaxLength {
		r.problems = append(r.problems, rotation.Problem{
			Reason: rotation.InvalidSpec, Path: "metadata.name",
			What: fmt.Sprintf("longer than %d characters", validation.LabelValueMaxLength),
			Hint: "it is a label's value: make one with a shorter name",
		})
	}
	spec, problems := rs.Spec.Rotation()
	a := asked{secret: rs.TargetName(), rotation: spec}
	if said := validation.IsDNS1123Subdomain(a.secret); len(said) > 0 {
		r.wrong("secretName", said[0], "")
	}
	for _, problem := range append(problems, spec.Validate()...) {
		problem.Path = "spec." + problem.Path
		r.problems = append(r.problems, problem)
	}
	if rs.Spec.Consumers != nil {
		a.ask = r.endpoint(*rs.Spec.Consumers)
	} else if a.rotation.Gate == rotation.Uptake {
		r.wrong("consumers", "the gate uptake has nobody to ask",
			"say which pods to ask, or use time")
	}
	if rs.Spec.Migration != nil {
		a.job = r.job(rs.Spec.Migration.JobTemplate.Raw)
	}
	switch rs.Spec.DeletionPolicy {
	case "", api.Retain, api.Delete:
	default:
		r.wrong("deletionPolicy", fmt.Sprintf("unknown policy %q", rs.Spec.DeletionPolicy),
			"use Retain or Delete")
	}
	return a, r.problems
}

const (
	defaultPort = "metrics"
	defaultPath = "/metrics"
)

func (r *reading) endpoint(c api.Consumers) *endpoint {
	e := &endpoint{port: intstr.FromString(defaultPort), path: defaultPath}
	selector, err := meta.LabelSelectorAsSelector(&c.Selector)
	switch {
	case err != nil:
		r.wrong("consumers.selector", err.Error(), "")
	case selector.Empty():
		r.wrong("consumers.selector", "it selects every pod", "select by at least one label")
	}
	e.selector = selector
	if c.Port != nil {
		e.port = *c.Port
	}
	if e.port.Type == intstr.Int {
		for _, said := range validation.IsValidPortNum(e.port.IntValue()) {
			r.wrong("consumers.port", said, "")
		}
	}
	if c.Path != "" {
		e.path = c.Path
	}
	if !strings.HasPrefix(e.path, "/") {
		r.wrong("consumers.path", fmt.Sprintf("%q does not begin with a /", e.path), "")
	}
	return e
}

// job reads the template of migrations. What it does not know it refuses: a misspelt field would
// otherwise be one that is not there.
func (r *reading) job(raw []byte) *batch.JobTemplateSpec {
	const path = "migration.jobTemplate"
	template := &batch.JobTemplateSpec{}
	strict, err := json.UnmarshalStrict(raw, template)
	if err != nil {
		strict = []error{err}
	}
	for _, err := range strict {
		r.wrong(path, err.Error(), "write it as that of a CronJob")
	}
	if len(strict) > 0 {
		return nil
	}
	pod := template.Spec.Template.Spec
	if len(pod.Containers) == 0 {
		r.wrong(path+".spec.template.spec.containers", "no container would migrate anything", "")
	}
	if pod.RestartPolicy == core.RestartPolicyAlways {
		r.wrong(path+".spec.template.spec.restartPolicy", "a Job's pods end",
			"use Never or OnFailure")
	}
	return template
}
