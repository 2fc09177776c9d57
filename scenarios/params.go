package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// substitutedMax bounds the text of one scalar after substitution.
const substitutedMax = 64 << 10

const literalHint = `write "$$(" for the characters themselves`

// parameters reads spec.params of the document, in which any scalar may be a value, and overrides
// them by set. It turns the values into text in place, for the decoder.
func (d *decoder) parameters(document *yaml.Node, set map[string]string) map[string]string {
	values := map[string]string{}
	node := resolve(child(child(document, "spec"), "params"))
	if node != nil && node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			value := resolve(node.Content[i+1])
			if value.Kind != yaml.ScalarNode {
				continue // reported by the decoder
			}
			text := &yaml.Node{
				Kind: yaml.ScalarNode, Tag: "!!str", Value: value.Value, Line: value.Line,
				Style: yaml.DoubleQuotedStyle,
			}
			node.Content[i+1] = text
			values[node.Content[i].Value] = value.Value
		}
	}
	names := slices.Sorted(maps.Keys(values))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, ok := values[name]; !ok {
			d.addAt(0, d.file, "--set "+name, "the scenario has no such parameter",
				didYouMeanOr(name, "parameter", names))
			continue
		}
		values[name] = set[name]
	}
	return values
}

// substitute returns the scalar with $(name) replaced, to be resolved again as YAML resolves
// scalars, or nil after a problem.
func (d *decoder) substitute(node *yaml.Node, path string) *yaml.Node {
	if d.params == nil || !strings.Contains(node.Value, "$") {
		return node
	}
	text, err := expandText(node.Value, d.params)
	if err != nil {
		what, hint := explain(err)
		d.addAt(node.Line, d.file, path, what, hint)
		return nil
	}
	if text == node.Value {
		return node
	}
	return &yaml.Node{
		Kind: yaml.ScalarNode, Value: text, Style: node.Style, Line: node.Line, Column: node.Column,
	}
}

// expandText replaces $(name) by the value of name, and $$( by $(.
func expandText(text string, values map[string]string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$(")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if strings.HasSuffix(before, "$") {
			b.WriteString("(")
			text = after
			continue
		}
		name, rest, closed := strings.Cut(after, ")")
		value, ok := values[name]
		switch {
		case !closed:
			return "", &valueError{`"$(" is not closed`, literalHint}
		case !ok:
			return "", unknownParameter(name, values)
		case b.Len()+len(value) > substitutedMax:
			return "", &valueError{what: "is too long after substitution"}
		}
		b.WriteString(value)
		text = rest
	}
}

func unknownParameter(name string, values map[string]string) error {
	names := slices.Sorted(maps.Keys(values))
	hint := didYouMean(name, names)
	if hint == "" {
		hint = "declare it under params, or " + literalHint
	}
	return &valueError{fmt.Sprintf("$(%s) is not a parameter", name), hint}
}
