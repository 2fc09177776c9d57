package kube

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/certquake/certquake/clusters/rotator"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
)

// claims knows what belongs to runs: what has their label, and what was made for their Certificates
// and RotatingSecrets, which has none. It remembers those that are gone, since what is made for
// them may come late.
type claims struct {
	mine    func(run string) bool
	owners  map[types.UID]string // the run, by Certificate or RotatingSecret
	secrets map[string]claim     // by namespace/name of the Secret that one of them writes
	any     bool                 // anything was found to belong to the runs
}

// claim is that of a Certificate or a RotatingSecret on a Secret.
type claim struct{ kind, name, run string }

// fits reports whether a Secret says that it was written for whoever has the claim.
func (c claim) fits(secret *unstructured.Unstructured) bool {
	if c.kind == rotating.Kind {
		return secret.GetLabels()[rotator.Label] == c.name
	}
	return secret.GetAnnotations()[certmanager.CertificateNameKey] == c.name
}

func newClaims(mine func(run string) bool) *claims {
	return &claims{mine: mine, owners: map[types.UID]string{}, secrets: map[string]claim{}}
}

// pick returns which of the things belong to the runs, in their order.
func (c *claims) pick(things []thing) []thing {
	for _, t := range things {
		if secret := secretOf(t); secret != "" && c.mine(t.run()) {
			c.owners[t.object.GetUID()] = t.run()
			name := t.object.GetNamespace() + "/" + secret
			c.secrets[name] = claim{t.kind.name, t.object.GetName(), t.run()}
		}
	}
	var picked []thing
	for _, t := range things {
		if c.of(t) != "" {
			picked = append(picked, t)
		}
	}
	c.any = c.any || len(picked) > 0
	return picked
}

// of returns the run that a thing belongs to, "" if it is none of the runs'.
func (c *claims) of(t thing) string {
	if run := t.run(); run != "" {
		if c.mine(run) {
			return run
		}
		return ""
	}
	for _, owner := range t.object.GetOwnerReferences() {
		if run := c.owners[owner.UID]; run != "" {
			return run
		}
	}
	name := t.object.GetNamespace() + "/" + t.object.GetName()
	held, known := c.secrets[name]
	if t.kind.name != "Secret" || !known || !held.fits(t.object) {
		return ""
	}
	return held.run
}
