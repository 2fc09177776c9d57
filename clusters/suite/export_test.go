package suite

import "github.com/certquake/certquake/scenarios"

// PlanOf returns the plan that a scenario is performed by.
func PlanOf(o Options, source string) (scenarios.Plan, error) { return o.plan(source) }
