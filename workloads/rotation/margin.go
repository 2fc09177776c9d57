package rotation

import "time"

// kubeletTicks is what the loops inside a kubelet add to its sync period.
const kubeletTicks = 1300 * time.Millisecond

// Propagation returns the longest time from a write of a Secret until a consumer uses it: one and
// a half sync periods of the kubelet, its cache, and how often the consumer reads again.
func Propagation(sync, cache, reread time.Duration) time.Duration {
	return sync + sync/2 + kubeletTicks + cache + reread
}

// Bounds are what a Spec must be safe against.
type Bounds struct {
	Propagation time.Duration // from a write until the last consumer uses it
	TokenTTL    time.Duration // how long what was signed is accepted
	Skew        time.Duration // between clocks of consumers
}

// Interval is what lies between two steps.
type Interval string

// The intervals.
const (
	PublishToSign Interval = "publish-to-sign"
	SignToDrop    Interval = "sign-to-drop"
	Period        Interval = "period" // from one rotation to the next
)

// Margin is how one interval of a Spec compares with what is safe.
type Margin struct {
	Interval Interval
	Have     time.Duration // what the Spec waits at least
	Need     time.Duration
	// Observed says that the wait for consumers is a matter of what they report, not of Need.
	Observed bool
}

// Spare returns by how much the interval is longer than it must be; below 0 it is unsafe.
func (m Margin) Spare() time.Duration { return m.Have - m.Need }

// Margins returns the safe inequalities of a rotation with what the Spec makes of them:
//
//	publish to sign  >=  propagation
//	sign to drop     >=  token lifetime + skew + propagation
//	period           >=  publish to sign + sign to drop
//
// Under Uptake no propagation is added, since waits run from what was seen. A period that is too
// short endangers no token, as rotations never overlap; it is just not kept. A Spec that rotates
// only when ordered has no period.
func (s Spec) Margins(b Bounds) []Margin {
	observed := s.Gate == Uptake
	unseen := b.Propagation
	if observed {
		unseen = 0
	}
	margins := []Margin{
		{PublishToSign, s.PromoteAfter, unseen, observed},
		{SignToDrop, s.RetireAfter, b.TokenTTL + b.Skew + unseen, observed},
	}
	if s.Every > 0 {
		took := s.PromoteAfter + s.RetireAfter
		if observed {
			took += 2 * b.Propagation
		}
		margins = append(margins, Margin{Period, s.Every, took, observed})
	}
	return margins
}
