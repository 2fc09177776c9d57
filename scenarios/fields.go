package scenarios

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is one field of a struct, or of one embedded in it, as JSON names it.
type field struct {
	name     string
	index    []int
	required bool
	rules    rules
}

// fieldsOf returns the fields of a struct type. In this package's types a field whose JSON tag has
// neither omitempty nor omitzero is required; the API types of others do not mean it so.
func fieldsOf(t reflect.Type) []field {
	own := t.PkgPath() == reflect.TypeFor[Scenario]().PkgPath()
	var fields []field
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{f.Index[0]}, inner.index...)
				fields = append(fields, inner)
			}
		default:
			fields = append(fields, field{
				name: name, index: f.Index, rules: rulesOf(f.Tag),
				required: own && !strings.Contains(options, "omit"),
			})
		}
	}
	return fields
}

func fieldNames(fields []field) []string {
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = field.name
	}
	return names
}

// rules are the bounds of a scalar, or of each in a list, written as tags: enum:"a|b" and min:"1".
type rules struct {
	enum    []string
	minimum *int64
}

func rulesOf(tag reflect.StructTag) rules {
	var r rules
	if enum := tag.Get("enum"); enum != "" {
		r.enum = strings.Split(enum, "|")
	}
	if n, err := strconv.ParseInt(tag.Get("min"), 10, 64); err == nil {
		r.minimum = &n
	}
	return r
}

// broken returns which rule the value breaks, if any.
func (r rules) broken(value reflect.Value) (what, hint string) {
	if value.CanInt() && r.minimum != nil && value.Int() < *r.minimum {
		return fmt.Sprintf("%d is less than %d", value.Int(), *r.minimum), ""
	}
	if value.Kind() == reflect.String && len(r.enum) > 0 {
		return notOneOf(value.String(), r.enum)
	}
	return "", ""
}

// notOneOf says that the word is none of the options, or returns "".
func notOneOf(word string, options []string) (what, hint string) {
	if slices.Contains(options, word) {
		return "", ""
	}
	return fmt.Sprintf("%q is none of %s", word, strings.Join(options, ", ")),
		didYouMean(word, options)
}

// resolve follows aliases.
func resolve(node *yaml.Node) *yaml.Node {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

// child returns the value of a mapping's key, or nil.
func child(node *yaml.Node, key string) *yaml.Node {
	node = resolve(node)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return resolve(node.Content[i+1])
		}
	}
	return nil
}

// join returns the path of a key below a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// describe names what a node is, for people.
func describe(node *yaml.Node) string {
	if node.Kind == yaml.MappingNode {
		return "a mapping"
	}
	if node.Kind == yaml.SequenceNode {
		return "a list"
	}
	switch tag := node.ShortTag(); tag {
	case "!!str":
		return fmt.Sprintf("%q", node.Value)
	case "!!int", "!!float":
		return "the number " + node.Value
	case "!!bool":
		return node.Value
	case "!!timestamp":
		return "the date " + node.Value
	default:
		return tag
	}
}
