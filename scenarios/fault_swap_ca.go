package scenarios

import (
	"fmt"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
)

// The strategies of SwapCA.
const (
	SwapAbrupt    = "abrupt"
	SwapBundle    = "bundle"
	SwapTogether  = "together"
	SwapCrossSign = "cross-sign"
)

// SwapCA replaces a CA by one with a new key and has its leaves issued anew.
//
// The strategy decides what peers may trust meanwhile. abrupt: the CA, then at once its leaves,
// each with the new CA only. bundle: the new CA is added to the leaves' ca.crt, after a hold the
// leaves are switched, after another hold the old CA is dropped. together: one write brings the
// new leaf and the bundle of both CAs, after a hold the old CA is dropped. cross-sign: as together,
// and meanwhile the leaves are served with the new CA's certificate signed by the old one.
//
// Proof: the CA's Secret was written with a new CA generation and each leaf's Secret with a leaf
// of it.
type SwapCA struct {
	// Certificate is the CA's Certificate: its name, or namespace/name.
	Certificate string `json:"certificate"`
	// Strategy is abrupt, bundle, together or cross-sign.
	Strategy string `json:"strategy" enum:"abrupt|bundle|together|cross-sign"`
	// Hold is the time between the steps, default 0s.
	Hold Duration `json:"hold,omitempty"`
	// Leaves are the Certificates to switch; default all whose issuer signs with this CA.
	Leaves []string `json:"leaves,omitempty"`
}

func (f *SwapCA) check(c *checker, path string) {
	c.notNegative(path+".hold", f.Hold)
	c.certificates(path+".leaves", f.Leaves)
	authority := c.certificate(path+".certificate", f.Certificate)
	if authority == nil {
		return
	}
	key := authority.Spec.PrivateKey
	switch {
	case !authority.Spec.IsCA:
		c.problem(path+".certificate", NameOf(authority)+" is no CA",
			"use rotateLeaf, or set isCA: true")
	case key != nil && key.RotationPolicy == certmanager.RotationPolicyNever:
		c.problem(path+".certificate", NameOf(authority)+" keeps its key when it is issued anew",
			"set privateKey.rotationPolicy: Always")
	case c.complete && len(f.Leaves) == 0 && len(c.s.World.LeavesOf(authority)) == 0:
		c.problem(path+".certificate", "no Certificate is signed by "+NameOf(authority),
			"a CA issuer names this Certificate's Secret")
	}
}

func (f *SwapCA) expand(e *expansion) {
	world := &e.plan.World
	authority := world.Certificate(qualify(DefaultNamespace, f.Certificate))
	leaves := qualifyAll(f.Leaves)
	if len(leaves) == 0 {
		leaves = world.LeavesOf(authority)
	}
	swap := swap{e: e, authority: NameOf(authority), leaves: leaves}
	for _, leaf := range leaves {
		swap.secrets = append(swap.secrets, SecretOf(world.Certificate(leaf)))
	}
	switch f.Strategy {
	case SwapAbrupt:
		swap.reissue(0, "switch", append([]string{swap.authority}, leaves...))
	case SwapBundle:
		swap.reissue(0, "new-ca", []string{swap.authority})
		swap.publish(0, "add-trust", Action{Trust: bothCAs(), Hold: true})
		swap.reissue(f.Hold, "switch-leaves", leaves)
		swap.publish(2*f.Hold, "drop-trust", Action{Trust: []AuthorityRef{Current}})
	case SwapTogether, SwapCrossSign:
		swap.reissue(0, "new-ca", []string{swap.authority})
		swap.publish(0, "hold-trust", Action{
			Trust: bothCAs(), Hold: true, NextWrite: true, CrossSign: f.Strategy == SwapCrossSign,
		})
		swap.reissue(0, "switch-leaves", leaves)
		swap.publish(f.Hold, "drop-trust", Action{Trust: []AuthorityRef{Current}})
	}
}

// swap adds the actions of one swap.
type swap struct {
	e               *expansion
	authority       string
	leaves, secrets []string
}

func bothCAs() []AuthorityRef { return []AuthorityRef{Previous, Current} }

func (s swap) reissue(after Duration, step string, certificates []string) {
	s.e.add(after, step, Action{
		Verb: Reissue, Certificates: certificates,
		Note: "issue " + strings.Join(certificates, ", then ") + " anew",
	})
}

func (s swap) publish(after Duration, step string, action Action) {
	action.Verb, action.Secrets, action.Authority = PublishTrust, s.secrets, s.authority
	what := "the current CA alone"
	if len(action.Trust) > 1 {
		what = "the previous and the current CA"
	}
	action.Note = fmt.Sprintf("put %s into ca.crt of %s", what, strings.Join(s.secrets, ", "))
	if action.NextWrite {
		action.Note += " with the next issuance"
	}
	if action.CrossSign {
		action.Note += ", and the current CA signed by the previous one into tls.crt"
	}
	s.e.add(after, step, action)
}
