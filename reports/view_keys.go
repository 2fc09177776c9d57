package reports

import (
	"fmt"
	"strings"

	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/rotation"
	"github.com/certquake/certquake/workloads/token"
)

// stepsMax is how many steps of a Secret's rotations a page lists; report.json has all.
const stepsMax = 40

// viewTokens is a workload that issues or verifies tokens.
type viewTokens struct {
	scenarios.TokenGroup
	Pods           int
	Keys, Reload   string
	Bound, Settled string
}

// viewSecret is a rotating Secret, of which a page shows the first steps.
type viewSecret struct {
	KeySecret
	MoreSteps int
}

// secrets lists the Secrets that are rotated, if any are.
func (v *view) secrets(k *Keys) {
	if k == nil {
		return
	}
	for _, secret := range k.Secrets {
		shown := viewSecret{KeySecret: secret, MoreSteps: max(0, len(secret.Steps)-stepsMax)}
		shown.Steps = secret.Steps[:len(secret.Steps)-shown.MoreSteps]
		v.Secrets = append(v.Secrets, shown)
	}
}

// keyFiguresOf picks the figures of keys that stand out on a page.
func keyFiguresOf(k *Keys) []figure {
	if k == nil {
		return nil
	}
	var all []figure
	if m, secret := k.tightest(); m != nil {
		f := figure{"least to spare in a rotation", spell(m.Spare), ""}
		if m.Spare < 0 {
			f = figure{"a rotation is too fast by", spell(-m.Spare), ""}
		}
		f.Note = fmt.Sprintf("%s of %s: waits %s, needs %s", m.Interval, secret, spell(m.Have),
			spell(m.Need))
		all = append(all, f)
	}
	for _, f := range k.Fetches {
		all = append(all, figure{
			"JWKS fetches of " + f.Workload, Number(f.Total), fmt.Sprintf("%s failed; up to %s in "+
				"a second, at %s", Number(f.Failed), f.Peak, spell(f.PeakAt)),
		})
	}
	return all
}

// tightest returns the margin of an interval between keys that leaves the least, and its Secret.
func (k *Keys) tightest() (least *KeyMargin, secret string) {
	for i := range k.Secrets {
		for j := range k.Secrets[i].Margins {
			m := &k.Secrets[i].Margins[j]
			if m.Interval != rotation.Period && (least == nil || m.Spare < least.Spare) {
				least, secret = m, k.Secrets[i].Secret
			}
		}
	}
	return least, secret
}

// viewTokens returns what a page says of a group.
func (a *Analysis) viewTokens(group *scenarios.TokenGroup) viewTokens {
	shown := viewTokens{
		TokenGroup: *group, Keys: "Secret " + group.Secret, Reload: reloadOf(group.Consumer),
		Bound: Moment(a.boundOf(group.Workload)),
		Pods:  a.podsWhere(func(p scenarios.Pod) bool { return p.Workload == group.Workload }),
	}
	if group.JWKS != nil {
		shown.Keys, shown.Reload = "JWKS of "+group.JWKS.From, fetchOf(group.JWKS.Policy())
	}
	if group.Role != scenarios.Verifies {
		return shown
	}
	shown.Settled = "not bounded"
	for i, pod := range a.plan.Pods {
		if settled := a.bounds.settled[i]; pod.Workload == group.Workload && settled.known {
			shown.Settled = Moment(settled.within)
		}
	}
	return shown
}

// fetchOf says when a verifier fetches its JWKS again.
func fetchOf(policy token.Policy) string {
	var when []string
	if policy.MaxAge > 0 {
		when = append(when, "when used, once older than "+Moment(policy.MaxAge))
	}
	switch policy.Kind {
	case token.Background:
		when = append(when, "every "+Moment(policy.Interval))
	case token.RefetchOnUnknown:
		when = append(when, "for every unknown kid")
	case token.RefetchWithCooldown:
		when = append(when, "for an unknown kid, "+Moment(policy.Cooldown)+" after the last fetch")
	case token.MaxAge:
	}
	text := strings.Join(when, "; ")
	if policy.DropStale {
		text += "; refuses all tokens when that fails"
	}
	return text
}
