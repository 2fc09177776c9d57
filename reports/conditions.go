package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/certquake/certquake/scenarios"
)

// costMax bounds the evaluation of one condition, in CEL's units: about the number of values it may
// look at. A sum over a year's hourly faults takes a tenth of it.
const costMax = 1_000_000

// ErrCondition is wrapped by the errors of conditions that do not compile, that give something
// other than true or false, or that cannot be evaluated on the report.
var ErrCondition = errors.New("bad condition")

// CheckConditions compiles the plan's conditions, so that a mistake in one is found before a run
// and not after. Its error joins those of all of them, each with line and column.
func CheckConditions(plan scenarios.Plan) error {
	_, err := compile(plan.Expect.Conditions)
	return err
}

// judgeConditions evaluates the conditions over the report as it is so far: its verdict is that of
// the checks alone.
func judgeConditions(plan scenarios.Plan, r *Report) ([]ConditionResult, error) {
	results := make([]ConditionResult, 0, len(plan.Expect.Conditions))
	if len(plan.Expect.Conditions) == 0 {
		return results, nil
	}
	programs, err := compile(plan.Expect.Conditions)
	if err != nil {
		return nil, err
	}
	variables, err := fields(r)
	if err != nil {
		return nil, err
	}
	for i, condition := range plan.Expect.Conditions {
		holds, err := evaluate(programs[i], variables)
		results = append(results, conclude(condition, holds, err, r))
	}
	return results, nil
}

// conclude turns a truth into a result. A condition that cannot be evaluated on this report, for
// want of a field or a value, shows nothing; nor does what holds, or not, of an incomplete run.
func conclude(
	condition scenarios.Condition, holds bool, err error, r *Report,
) ConditionResult {
	result := ConditionResult{
		Name: condition.Name, That: condition.That, Status: Inconclusive,
	}
	switch {
	case err != nil:
		result.Reason = "it cannot be evaluated: " + err.Error()
	case !r.Complete:
		result.Reason = fmt.Sprintf("it is %t so far, but the record is not complete", holds)
	case !holds:
		result.Status, result.Reason = Fail, "it is false: "+condition.That
	default:
		result.Status, result.Reason = Pass, "it is true"
	}
	return result
}

// compile compiles every condition and joins the errors of all.
func compile(conditions []scenarios.Condition) ([]cel.Program, error) {
	if len(conditions) == 0 {
		return nil, nil
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	programs := make([]cel.Program, len(conditions))
	var problems []error
	for i, condition := range conditions {
		if programs[i], err = compileOne(env, condition.That); err != nil {
			problems = append(problems, fmt.Errorf("%w: expect.conditions[%d] %q: %w",
				ErrCondition, i, condition.Name, err))
		}
	}
	return programs, errors.Join(problems...)
}

// environment declares every field of a report as a variable of unknown type, those too that only
// reports on keys and data at rest have.
func environment() (*cel.Env, error) {
	variables, err := fields(&Report{
		Mounted: &Quantiles{}, Fetched: &Quantiles{}, Keys: &Keys{}, Stores: []Store{{}},
	})
	if err != nil {
		return nil, err
	}
	options := []cel.EnvOption{cel.CrossTypeNumericComparisons(true)}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("declare the report's fields: %w", err)
	}
	return env, nil
}

// compileOne compiles one condition and sees to it that it can give true or false.
func compileOne(env *cel.Env, text string) (cel.Program, error) {
	parsed, issues := env.Compile(text)
	if issues.Err() != nil {
		var problems []string
		for _, problem := range issues.Errors() {
			problems = append(problems, fmt.Sprintf("line %d, column %d: %s",
				problem.Location.Line(), problem.Location.Column()+1, problem.Message))
		}
		return nil, errors.New(strings.Join(problems, "; "))
	}
	kind := parsed.OutputType()
	if !kind.IsExactType(cel.BoolType) && !kind.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("it gives %s, not true or false; compare it with something", kind)
	}
	program, err := env.Program(parsed, cel.CostLimit(costMax))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return program, nil
}

// evaluate returns whether the condition holds.
func evaluate(program cel.Program, variables map[string]any) (bool, error) {
	value, _, err := program.Eval(variables)
	if err != nil {
		return false, fmt.Errorf("evaluate: %w", err)
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it gives %s, not true or false", value.Type().TypeName())
	}
	return holds, nil
}

// fields returns the report as its JSON: whole numbers as int64 and others as float64, by how they
// are written, so that a field has one type whatever its value.
func fields(r *Report) (map[string]any, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var variables map[string]any
	if err := decoder.Decode(&variables); err != nil {
		return nil, fmt.Errorf("decode the report: %w", err)
	}
	for name, value := range variables {
		variables[name] = numbers(value)
	}
	return variables, nil
}

// numbers replaces the numbers within a value by Go's.
func numbers(value any) any {
	switch typed := value.(type) {
	case json.Number:
		if whole, err := typed.Int64(); err == nil {
			return whole
		}
		fraction, err := typed.Float64()
		if err != nil {
			return typed.String()
		}
		return fraction
	case []any:
		for i := range typed {
			typed[i] = numbers(typed[i])
		}
	case map[string]any:
		for name := range typed {
			typed[name] = numbers(typed[name])
		}
	}
	return value
}
