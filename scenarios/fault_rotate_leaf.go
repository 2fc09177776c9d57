package scenarios

import (
	"strings"
)

// RotateLeaf has cert-manager issue Certificates anew at once, as `cmctl renew` does.
//
// On a CA's Certificate it re-issues the CA alone: the leaves stay as they are until their own
// renewal, since cert-manager does not re-issue them (cert-manager#2478).
//
// Proof: the Secret of each Certificate was written with a new leaf generation.
type RotateLeaf struct {
	// Certificate is the Certificate to rotate: its name, or namespace/name.
	Certificate string `json:"certificate,omitempty"`
	// Certificates are several, each issued once the one before is written.
	Certificates []string `json:"certificates,omitempty"`
}

func (f *RotateLeaf) check(c *checker, path string) {
	c.exactlyOne(path, "certificate", f.Certificate != "", "certificates", len(f.Certificates) > 0)
	if f.Certificate != "" {
		c.certificate(path+".certificate", f.Certificate)
	}
	c.certificates(path+".certificates", f.Certificates)
}

func (f *RotateLeaf) expand(e *expansion) {
	names := qualifyAll(oneOrMore(f.Certificate, f.Certificates))
	e.add(0, "reissue", Action{
		Verb: Reissue, Certificates: names,
		Note: "issue " + strings.Join(names, ", then ") + " anew",
	})
}
