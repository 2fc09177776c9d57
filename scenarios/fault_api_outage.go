package scenarios

// APIOutage takes the API server down, with etcd, the controllers and the scheduler.
//
// Meanwhile no Secret is written and nothing is issued, and no deleted pod is replaced; what other
// faults need of the API waits for its return. Pods that run go on, and containers are restarted in
// place. A kubelet with Watch goes on syncing what was written before the outage, one with Cache
// what it fetched last, however old; with Get its syncs fail and are tried again 10 to 15 s later.
//
// Proof: the API server was seen not to answer, and to answer again at its return.
type APIOutage struct {
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *APIOutage) check(c *checker, path string) { c.notNegative(path+".for", f.For) }

func (f *APIOutage) expand(e *expansion) {
	e.add(0, "stop", Action{Verb: StopAPI, Note: "take the API server down"})
	if f.For > 0 {
		e.add(f.For, "start", Action{Verb: StartAPI, Note: "bring the API server back"})
	}
}
