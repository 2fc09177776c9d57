package scenarios

// OperatorOutage kills the operator that rotates the keys of RotatingSecrets, wherever it is. Steps
// that are due meanwhile are done after its return.
//
// Proof: no operator was seen to run, and one to run again at the end.
type OperatorOutage struct {
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *OperatorOutage) check(c *checker, path string) {
	c.notNegative(path+".for", f.For)
	if c.complete && len(c.s.World.RotatingSecrets) == 0 {
		c.problem(path, "has no operator to kill: there is no RotatingSecret", "")
	}
}

func (f *OperatorOutage) expand(e *expansion) {
	e.add(0, "stop", Action{Verb: StopOperator, Note: "kill the operator that rotates keys"})
	if f.For > 0 {
		e.add(f.For, "start", Action{
			Verb: StartOperator, Note: "start the operator that rotates keys again",
		})
	}
}
