package scenarios

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// valuesMax bounds the values of one file, each use of an alias counted.
const valuesMax = 250_000

// decoder fills Go values from YAML nodes, as encoding/json would from the same text in JSON, but
// gathers every problem with its line and knows what each problem is.
type decoder struct {
	*collector
	file   string
	params map[string]string // nil: nothing is substituted
	left   int               // values until valuesMax
}

func (c *collector) decoder(file string, params map[string]string) *decoder {
	return &decoder{collector: c, file: file, params: params, left: valuesMax}
}

// problem gathers a problem with the value of node.
func (d *decoder) problem(node *yaml.Node, path, what, hint string) {
	d.addAt(node.Line, d.file, path, what, hint)
}

// value decodes node into the addressable value.
func (d *decoder) value(node *yaml.Node, into reflect.Value, path string, rules rules) {
	if !d.spend(node) {
		return
	}
	node = resolve(node)
	if node.Kind == yaml.ScalarNode && !strings.HasPrefix(path, paramsPath+".") {
		if node = d.substitute(node, path); node == nil {
			return
		}
	}
	if isNull(node) {
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if d.leaf(node, into, path) {
		return
	}
	switch into.Kind() { //nolint:exhaustive // the kinds that API types are made of
	case reflect.Struct:
		d.structure(node, into, path)
	case reflect.Map:
		d.mapping(node, into, path)
	case reflect.Slice:
		d.list(node, into, path, rules)
	default:
		d.scalar(node, into, path, rules)
	}
}

// paramsPath is where parameters are declared; their values are never substituted.
const paramsPath = "spec.params"

// spend counts a value, and reports whether the bound is kept.
func (d *decoder) spend(node *yaml.Node) bool {
	d.left--
	if d.left < 0 {
		d.problem(node, "", fmt.Sprintf("has more than %d values", valuesMax),
			"an alias counts each time it is used")
	}
	return d.left >= 0
}

// leaf decodes types that read themselves, and reports whether into is one of them.
func (d *decoder) leaf(node *yaml.Node, into reflect.Value, path string) bool {
	switch target := into.Addr().Interface().(type) {
	case *Manifest:
		d.manifest(node, target, path)
	case *metav1.Duration:
		var duration Duration
		d.text(node, &duration, path)
		target.Duration = duration.std()
	case *time.Time:
		d.instant(node, target, path)
	case encoding.TextUnmarshaler:
		d.text(node, target, path)
	case json.Unmarshaler:
		d.json(node, target, path)
	default:
		return false
	}
	return true
}

func (d *decoder) text(node *yaml.Node, into encoding.TextUnmarshaler, path string) {
	if node.Kind != yaml.ScalarNode {
		d.problem(node, path, "must be text, not "+describe(node), "")
		return
	}
	if err := into.UnmarshalText([]byte(node.Value)); err != nil {
		what, hint := explain(err)
		d.problem(node, path, what, hint)
	}
}

func (d *decoder) instant(node *yaml.Node, into *time.Time, path string) {
	parsed, err := time.Parse(time.RFC3339, node.Value)
	if err != nil {
		d.problem(node, path, describe(node)+" is not an instant", "write it as "+defaultStart)
		return
	}
	*into = parsed
}

func (d *decoder) json(node *yaml.Node, into json.Unmarshaler, path string) {
	var plain any
	err := node.Decode(&plain)
	var data []byte
	if err == nil {
		data, err = json.Marshal(plain)
	}
	if err == nil {
		err = into.UnmarshalJSON(data)
	}
	if err != nil {
		d.problem(node, path, "is not valid: "+err.Error(), "")
	}
}

func (d *decoder) manifest(node *yaml.Node, into *Manifest, path string) {
	switch {
	case node.Kind == yaml.MappingNode:
		into.Object = node
	case node.Kind == yaml.ScalarNode && node.ShortTag() == "!!str" && node.Value != "":
		into.File = node.Value
	default:
		d.problem(node, path, "must be a file name or an object, not "+describe(node), "")
	}
}

// structure decodes a mapping into a struct's fields.
func (d *decoder) structure(node *yaml.Node, into reflect.Value, path string) {
	fields := fieldsOf(into.Type())
	given := map[string]bool{}
	d.entries(node, path, func(key, value *yaml.Node, at string) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			d.problem(key, at, "unknown field", didYouMean(key.Value, fieldNames(fields)))
			d.unknown[place{d.file, path}] = true
			return
		}
		given[key.Value] = !isNull(resolve(value))
		d.value(value, into.FieldByIndex(fields[i].index), at, fields[i].rules)
	})
	if node.Kind != yaml.MappingNode || d.left < 0 {
		return
	}
	for _, field := range fields {
		if field.required && !given[field.name] {
			d.add(d.file, join(path, field.name), "is required", "")
		}
	}
}

// mapping decodes a mapping into a map with text keys.
func (d *decoder) mapping(node *yaml.Node, into reflect.Value, path string) {
	into.Set(reflect.MakeMap(into.Type()))
	d.entries(node, path, func(key, value *yaml.Node, at string) {
		element := reflect.New(into.Type().Elem()).Elem()
		d.value(value, element, at, rules{})
		into.SetMapIndex(reflect.ValueOf(key.Value).Convert(into.Type().Key()), element)
	})
}

// entries calls do for each key of a mapping, which may be given once.
func (d *decoder) entries(node *yaml.Node, path string, do func(key, value *yaml.Node, at string)) {
	if node.Kind != yaml.MappingNode {
		d.problem(node, path, "must be a mapping, not "+describe(node), "")
		d.broken[place{d.file, path}] = true
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content) && d.left >= 0; i += 2 {
		key, value := resolve(node.Content[i]), node.Content[i+1]
		at := join(path, key.Value)
		line, again := first[key.Value]
		switch {
		case key.ShortTag() == "!!merge":
			d.problem(key, at, "merge keys are not supported", "write the fields out")
		case key.Kind != yaml.ScalarNode:
			d.problem(key, path, "a key must be text, not "+describe(key), "")
		case again:
			d.problem(key, at, fmt.Sprintf("is given twice, first on line %d", line), "")
		default:
			first[key.Value] = key.Line
			d.mark(d.file, at, key.Line)
			do(key, value, at)
		}
	}
}

func (d *decoder) list(node *yaml.Node, into reflect.Value, path string, rules rules) {
	if into.Type().Elem().Kind() == reflect.Uint8 {
		return // binary data is part of no supported field
	}
	if node.Kind != yaml.SequenceNode {
		d.problem(node, path, "must be a list, not "+describe(node), "")
		d.broken[place{d.file, path}] = true
		return
	}
	list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.mark(d.file, at, item.Line)
		d.value(item, list.Index(i), at, rules)
	}
	into.Set(list)
}

func (d *decoder) scalar(node *yaml.Node, into reflect.Value, path string, rules rules) {
	var want string
	ok := node.Kind == yaml.ScalarNode
	switch {
	case into.Kind() == reflect.String:
		want, ok = "text", ok && node.ShortTag() == "!!str"
		into.SetString(node.Value)
	case into.Kind() == reflect.Bool:
		want, ok = "true or false", ok && node.ShortTag() == "!!bool"
		into.SetBool(strings.EqualFold(node.Value, "true"))
	case into.CanInt():
		want = "a whole number"
		number, err := strconv.ParseInt(node.Value, 0, into.Type().Bits())
		ok = ok && node.ShortTag() == "!!int" && err == nil
		into.SetInt(number)
	default:
		want, ok = "left out", false
	}
	if !ok {
		into.SetZero()
		d.problem(node, path, "must be "+want+", not "+describe(node), quoteHint(node, into))
		return
	}
	if what, hint := rules.broken(into); what != "" {
		into.SetZero() // what follows need not cope with it
		d.problem(node, path, what, hint)
	}
}

// quoteHint helps where YAML took text for something else.
func quoteHint(node *yaml.Node, into reflect.Value) string {
	if into.Kind() != reflect.String || node.Kind != yaml.ScalarNode {
		return ""
	}
	return fmt.Sprintf("put it in quotes: %q", node.Value)
}
