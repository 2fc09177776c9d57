package scenarios

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// Schema returns the JSON Schema of scenario files, for editors. Parse checks more: what a schema
// cannot say, and the Kubernetes objects.
func Schema() ([]byte, error) {
	docs := comments()
	reflector := jsonschema.Reflector{
		BaseSchemaID: "https://certquake.dev/schema", DoNotReference: false,
		LookupComment: func(t reflect.Type, name string) string {
			if name != "" {
				name = "." + name
			}
			return strings.ReplaceAll(docs[t.Name()+name], "\n", " ")
		},
	}
	schema := reflector.Reflect(&Scenario{})
	schema.Title = "certquake scenario"
	types := map[string]reflect.Type{}
	collectTypes(reflect.TypeFor[Scenario](), types)
	for name, definition := range schema.Definitions {
		if t, ok := types[name]; ok && definition.Properties != nil {
			refine(definition, t)
		}
	}
	constant(schema.Definitions["Scenario"], "apiVersion", APIVersion)
	constant(schema.Definitions["Scenario"], "kind", Kind)
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(data, '\n'), nil
}

// collectTypes gathers this package's struct types that t is made of, by name.
func collectTypes(t reflect.Type, found map[string]reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	own := t.PkgPath() == reflect.TypeFor[Scenario]().PkgPath()
	if t.Kind() != reflect.Struct || !own || found[t.Name()] != nil {
		return
	}
	found[t.Name()] = t
	for f := range t.Fields() {
		collectTypes(f.Type, found)
	}
}

// refine adds to a definition what the tags of its type's fields say, that a parameter may stand
// for any scalar, and that exactly one kind of fault or workload is given.
func refine(definition *jsonschema.Schema, t reflect.Type) {
	for _, field := range fieldsOf(t) {
		property, ok := definition.Properties.Get(field.name)
		if !ok {
			continue
		}
		for _, option := range field.rules.enum {
			property.Enum = append(property.Enum, option)
		}
		if field.rules.minimum != nil {
			property.Minimum = json.Number(strconv.FormatInt(*field.rules.minimum, 10))
		}
		definition.Properties.Set(field.name, orParameter(property))
	}
	switch t {
	case reflect.TypeFor[Fault]():
		definition.OneOf = oneRequired(fieldKinds[fault](Fault{}))
	case reflect.TypeFor[Workload]():
		definition.OneOf = oneRequired(fieldKinds[workloadKind](Workload{}))
	case reflect.TypeFor[Spec]():
		params, _ := definition.Properties.Get("params")
		params.AdditionalProperties = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "string"}, {Type: "number"}, {Type: "boolean"},
		}}
	}
}

// orParameter allows $(name) where the scalar's own type or rules would not.
func orParameter(property *jsonschema.Schema) *jsonschema.Schema {
	scalar := property.Type == "integer" || property.Type == "boolean" || len(property.Enum) > 0 ||
		property.Ref == "#/$defs/Duration" || property.Ref == "#/$defs/Rate" ||
		property.Ref == "#/$defs/Percentage"
	if !scalar {
		return property
	}
	description := property.Description
	property.Description = ""
	return &jsonschema.Schema{
		Description: description,
		AnyOf:       []*jsonschema.Schema{property, {Type: "string", Pattern: `\$\(`}},
	}
}

func oneRequired(names []string) []*jsonschema.Schema {
	var options []*jsonschema.Schema
	for _, name := range names {
		options = append(options, &jsonschema.Schema{
			Required: []string{name}, Title: name,
		})
	}
	return options
}

func constant(definition *jsonschema.Schema, name, value string) {
	property, _ := definition.Properties.Get(name)
	property.Const = value
}
