package scenarios

import (
	"slices"
	"time"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
)

// tokens scales what a workload of tokens does. Dates in tokens are whole seconds, so that no life
// of one can come to less.
func (h *hurry) tokens(group *TokenGroup) {
	h.consumer(&group.Consumer)
	place := "workload " + group.Workload + ": "
	if ttl := h.shorter(group.TTL); group.TTL > 0 && ttl < time.Second {
		h.problem("%stokenTTL: %s would be %s, and dates in tokens are whole seconds; %s", place,
			shortDuration(group.TTL), shortDuration(ttl), largest(group.TTL, time.Second))
	}
	group.TTL = h.shorter(group.TTL)
	group.Reuse = h.interval(place+"reuse", group.Reuse)
	group.Leeway = h.interval(place+"leeway", group.Leeway)
	if group.JWKS == nil {
		return
	}
	keys := *group.JWKS
	keys.MaxAge = h.interval(place+"maxAge", keys.MaxAge)
	keys.Cooldown = h.interval(place+"cooldown", keys.Cooldown)
	keys.Interval = h.interval(place+"interval", keys.Interval)
	keys.Retry = h.interval(place+"retry", keys.Retry)
	group.JWKS = &keys
}

// rotation scales what a RotatingSecret says about time, defaults included.
func (h *hurry) rotation(rotating *rotator.RotatingSecret) {
	spec, _ := rotating.Spec.Rotation() // it was checked when the plan was made
	place := "RotatingSecret " + qualified(rotating.Namespace, rotating.Name) + ": "
	scaled := func(field string, d time.Duration) *rotator.Duration {
		return new(rotator.Duration(h.interval(place+field, d).String()))
	}
	rotating.Spec.Every = scaled("every", spec.Every)
	rotating.Spec.PromoteAfter = scaled("promoteAfter", spec.PromoteAfter)
	rotating.Spec.RetireAfter = scaled("retireAfter", spec.RetireAfter)
	rotating.Spec.UptakeTimeout = scaled("uptakeTimeout", spec.UptakeTimeout)
}

// ofTokens reports whether any of the pods issues or verifies tokens. Their lives are scaled, so
// clocks that are off by part of one must be as well.
func (h *hurry) ofTokens(pods []string) bool {
	return slices.ContainsFunc(h.plan.Pods, func(pod Pod) bool {
		return slices.Contains(pods, pod.Name) && h.plan.TokensOf(pod.Workload) != nil
	})
}
