package reports

import (
	"github.com/certquake/certquake/scenarios"
)

func CheckConditions(plan scenarios.Plan) error {
	_ = plan
	return nil
}

func judgeConditions(plan scenarios.Plan, r *Report) ([]ConditionResult, error) {
	_, _ = plan, r
	return nil, nil
}
