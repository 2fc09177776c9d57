package scenarios_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/certquake/certquake/scenarios"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := scenarios.Schema()
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("scenario.json", document))
	schema, err := compiler.Compile("scenario.json")
	require.NoError(t, err)
	return schema
}

// instance returns YAML as a JSON Schema validator wants it.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal(data, &value))
	encoded, err := json.Marshal(value)
	require.NoError(t, err)
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	require.NoError(t, err)
	return decoded
}

func TestSchemaAcceptsLibrary(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	for _, name := range scenarios.Names() {
		data, err := fs.ReadFile(scenarios.Library(), name+".yaml")
		require.NoError(t, err)
		assert.NoError(t, schema.Validate(instance(t, data)), name)
	}
	assert.NoError(t, schema.Validate(instance(t, []byte(testdata(t, "base.yaml")))))
}

func TestSchemaRejects(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	tests := []struct{ name, old, new string }{
		{"unknown field", "syncFrequency: 10s", "syncFreqency: 10s"},
		{"bare number for a duration", "horizon: 1h", "horizon: 3600"},
		{"nonsense for a duration", "horizon: 1h", "horizon: soon"},
		{"no horizon", "  horizon: 1h\n", ""},
		{"rate per day", "rate: 10/s", "rate: 10/d"},
		{"unknown enum value", "policy: poll", "policy: pol"},
		{"no replicas", "replicas: 2", "replicas: 0"},
		{"fault of no kind", "at: 5m, rotateLeaf: {certificate: leaf}", "at: 5m"},
		{
			"fault of two kinds", "rotateLeaf: {certificate: leaf}",
			"rotateLeaf: {certificate: leaf}, tearPair: {secret: leaf}",
		},
		{"another kind", "kind: Scenario", "kind: Certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := testdata(t, "base.yaml")
			require.Contains(t, base, tt.old)
			broken := strings.Replace(base, tt.old, tt.new, 1)
			assert.Error(t, schema.Validate(instance(t, []byte(broken))))
		})
	}
}

func TestSchemaDescribes(t *testing.T) {
	t.Parallel()
	data, err := scenarios.Schema()
	require.NoError(t, err)
	assert.Contains(t, string(data), "Horizon is when the run ends.")
	assert.Contains(t, string(data), "SwapCA replaces a CA by one with a new key")
}
