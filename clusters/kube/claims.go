package kube

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/types"
)

// claims knows what belongs to runs: what has their label, and what cert-manager made for their
// Certificates, which has none. It remembers Certificates that are gone, since what cert-manager
// made for them may come late.
type claims struct {
	mine    func(run string) bool
	owners  map[types.UID]string // the run, by Certificate
	secrets map[string]claim     // by namespace/name of the Secret that a Certificate writes
	any     bool                 // anything was found to belong to the runs
}

// claim is a Certificate's on a Secret.
type claim struct{ certificate, run string }

func newClaims(mine func(run string) bool) *claims {
	return &claims{mine: mine, owners: map[types.UID]string{}, secrets: map[string]claim{}}
}

// pick returns which of the things belong to the runs, in their order.
func (c *claims) pick(things []thing) []thing {
	for _, t := range things {
		if secret := secretOf(t); secret != "" && c.mine(t.run()) {
			c.owners[t.object.GetUID()] = t.run()
			c.secrets[t.object.GetNamespace()+"/"+secret] = claim{t.object.GetName(), t.run()}
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
	if t.kind.name != "Secret" || !known ||
		t.object.GetAnnotations()[certmanager.CertificateNameKey] != held.certificate {
		return ""
	}
	return held.run
}
