package scenarios

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
)

// The modes of IssuerOutage.
const (
	OutageStop = "stop"
	OutageFail = "fail"
)

// IssuerOutage puts an issuer, or cert-manager as a whole, out of order.
//
// Proof: a request made meanwhile was seen to wait or to fail; if none was made, the issuer was
// seen to be down.
type IssuerOutage struct {
	// Issuer is the issuer's name; default all of cert-manager.
	Issuer string `json:"issuer,omitempty"`
	// Kind is the issuer's kind, Issuer (the default) or ClusterIssuer.
	Kind string `json:"kind,omitempty" enum:"Issuer|ClusterIssuer"`
	// Namespace is the Issuer's namespace, default "default".
	Namespace string `json:"namespace,omitempty"`
	// Mode is stop (requests wait, the default) or fail (requests fail terminally, and
	// cert-manager backs off for 1h, doubling to 32h).
	Mode string `json:"mode,omitempty" enum:"stop|fail"`
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *IssuerOutage) check(c *checker, path string) {
	c.notNegative(path+".for", f.For)
	if f.Issuer == "" {
		if f.Kind != "" || f.Namespace != "" {
			c.problem(path, "has a kind or namespace but no issuer", "name the issuer")
		}
		return
	}
	if c.complete && c.s.World.Issuer(f.issuer()) == nil {
		c.problem(path+".issuer", "there is no issuer "+f.issuer(),
			didYouMeanOr(f.issuer(), "issuer", c.s.World.issuerNames()))
	}
}

// issuer returns the issuer's name as plans have it, "" for all of cert-manager.
func (f *IssuerOutage) issuer() string {
	switch {
	case f.Issuer == "":
		return ""
	case f.Kind == certmanager.ClusterIssuerKind:
		return qualified("", f.Issuer)
	default:
		return qualified(orDefault(f.Namespace, DefaultNamespace), f.Issuer)
	}
}

func (f *IssuerOutage) expand(e *expansion) {
	name, mode := f.issuer(), orDefault(f.Mode, OutageStop)
	what := "cert-manager"
	if name != "" {
		what = "issuer " + name
	}
	how := "stop " + what
	if mode == OutageFail {
		how = "have every request to " + what + " fail"
	}
	e.add(0, "stop", Action{Verb: StopIssuer, Issuer: name, Mode: mode, Note: how})
	if f.For > 0 {
		e.add(f.For, "start", Action{
			Verb: StartIssuer, Issuer: name, Mode: mode, Note: "put " + what + " back in order",
		})
	}
}
