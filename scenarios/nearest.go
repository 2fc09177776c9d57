package scenarios

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean returns a question that names the option most like the word, or "".
func didYouMean(word string, options []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, option := range options {
		if d := editDistance(strings.ToLower(word), strings.ToLower(option)); d < distance {
			best, distance = option, d
		}
	}
	if best == "" || distance >= len(word) {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// didYouMeanOr is didYouMean, or else a list of the options.
func didYouMeanOr(word, kind string, options []string) string {
	if hint := didYouMean(word, options); hint != "" {
		return hint
	}
	options = slices.Compact(slices.Clone(options))
	switch len(options) {
	case 0:
		return "there is no " + kind + " at all"
	case 1:
		return fmt.Sprintf("the only %s is %s", kind, options[0])
	}
	const shown = 8
	list := strings.Join(options[:min(shown, len(options))], ", ")
	if len(options) > shown {
		list += ", ..."
	}
	return fmt.Sprintf("the %ss are %s", kind, list)
}

// wordMax bounds the words that are compared, since the cost grows with the product.
const wordMax = 100

// editDistance returns how many bytes must be inserted, deleted or replaced to turn a into b.
func editDistance(a, b string) int {
	if len(a) > wordMax || len(b) > wordMax {
		return wordMax
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
