package scenarios

import "bytes"

// IsScenario reports whether a YAML file says that it is a scenario of any version, however wrong
// the rest may be, as opposed to a manifest beside one.
func IsScenario(data []byte) bool {
	group, _, _ := bytes.Cut([]byte(APIVersion), []byte("/"))
	for line := range bytes.Lines(data) {
		value, found := bytes.CutPrefix(line, []byte("apiVersion:"))
		if found && bytes.HasPrefix(bytes.Trim(value, " \"'"), group) {
			return true
		}
	}
	return false
}
