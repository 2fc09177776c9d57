package scenarios

import (
	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"
)

// Manifest is either the name of a YAML file beside the scenario or one Kubernetes object inline.
type Manifest struct {
	// File is the name of the file, empty for an inline object.
	File string
	// Object is the inline object, nil for a file.
	Object *yaml.Node
}

// JSONSchema describes a manifest to editors.
func (Manifest) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Description: "A YAML file beside the scenario, or a Kubernetes object inline.",
		OneOf: []*jsonschema.Schema{
			{Type: "string", MinLength: new(uint64(1))},
			{Type: "object", Required: []string{"apiVersion", "kind"}},
		},
	}
}
