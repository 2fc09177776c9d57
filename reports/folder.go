package reports

// The files of a run folder: the plan and the record are the run, the others are computed from
// them.
const (
	PlanFile   = "plan.json"
	RecordFile = "events.jsonl"
	JSONFile   = "report.json"
	TextFile   = "report.md"
	JUnitFile  = "junit.xml"
	HTMLFile   = "report.html"
	PlotsDir   = "plots"
)

// Files returns the names of everything a run writes into its folder.
func Files() []string {
	return []string{PlanFile, RecordFile, JSONFile, TextFile, JUnitFile, HTMLFile, PlotsDir}
}
