package scenarios

import (
	"regexp"
	"slices"
	"strings"
)

// timeless returns the names in a condition whose values do not depend on how fast a plan is
// performed, as long as counts are compared with 0 or with each other: fields of report.json, and
// functions of CEL.
func timeless() []string {
	return strings.Fields(`
	verdict expected because as_expected complete scenario seed backend basis
	findings conditions id status name
	balance outcomes scheduled ok failed skipped unaccounted
	worst broken_pairs pairs
	associations established dropped reestablished down_at_end attempts
	keys secrets secret steps usable margins interval uptake
	failures outcome count token_key verifier_keys fetches workload from total
	stores records key unreadable unknown refused_reads refused_writes
	migrations to pods failed_pods of_pods
	all exists exists_one filter map size has in true false null`)
}

// Of CEL's grammar: one token, as far as it matters here, which is text, a name, a number or a
// sign; where a macro names its own variable; and a number that is zero.
const (
	celToken    = `"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[A-Za-z_]\w*|[0-9.]*[0-9]\w*|\S`
	celVariable = `\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,`
	celZero     = `^0+(?:\.0*)?u?$`
)

// ofTime returns what of a condition may depend on the speed, or nothing if it cannot: it knows
// nothing but timeless names, the number 0 and text that names no time. It reads the tokens alone,
// so what it cannot tell to be free of time counts as being of time.
func ofTime(condition string) string {
	known, zero := timeless(), regexp.MustCompile(celZero)
	variables := slices.Clone(known)
	for _, found := range regexp.MustCompile(celVariable).FindAllStringSubmatch(condition, -1) {
		variables = append(variables, found[1])
	}
	brackets, before := 0, ""
	for _, token := range regexp.MustCompile(celToken).FindAllString(condition, -1) {
		first := token[0]
		text := first == '"' || first == '\''
		switch {
		case first == '[':
			brackets++
		case first == ']':
			brackets--
		case text && strings.Contains(token, "second"):
			return "it mentions " + token
		case text, first == ',':
		case brackets > 0:
			return "it looks up something that is computed"
		case first >= '0' && first <= '9' || first == '.' && len(token) > 1:
			if !zero.MatchString(token) {
				return "it compares with " + token
			}
		case !strings.ContainsRune(celNameFirst, rune(first)):
		case before == "." && !slices.Contains(known, token), !slices.Contains(variables, token):
			return "it mentions " + token
		}
		before = token
	}
	return ""
}

// celNameFirst are the characters that names begin with.
const celNameFirst = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
