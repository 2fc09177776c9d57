package bearer_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/bearer"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/token"
)

// Every problem of a config is told, and nothing is done.
func TestConfigProblems(t *testing.T) {
	t.Parallel()
	issuer := newConfig(t, "i", bearer.Issuer)
	issuer.Mount = "/keys"
	good := newFetcher(t, &issuer, token.GoOIDC())
	for name, test := range map[string]struct {
		change func(*bearer.Config)
		want   string
	}{
		"nothing":   {func(*bearer.Config) {}, ""},
		"issuer":    {func(c *bearer.Config) { *c = issuer }, ""},
		"pod":       {func(c *bearer.Config) { c.Pod = "" }, "pod is missing"},
		"horizon":   {func(c *bearer.Config) { c.Horizon = 0 }, "horizon_ns must be positive"},
		"age":       {func(c *bearer.Config) { c.KeysAge = -1 }, "keys_age_ns is negative"},
		"algorithm": {func(c *bearer.Config) { c.Token.Algorithm = "none" }, `algorithm "none"`},
		"role":      {func(c *bearer.Config) { c.Role = "judge" }, `role is "judge", want issuer`},
		"mount":     {func(c *bearer.Config) { c.Mount = "/keys" }, "want either mount or jwks"},
		"secret":    {func(c *bearer.Config) { c.Secret = "x" }, "want secret with mount"},
		"address":   {func(c *bearer.Config) { c.JWKS.Address = "x" }, "is no address of http"},
		"policy":    {func(c *bearer.Config) { c.JWKS.Policy.Kind = "x" }, `jwks: policy "x"`},
		"symmetric": {
			func(c *bearer.Config) { c.Token.Algorithm = token.HS256 },
			"jwks: secrets for HS256 are in none",
		},
		"issuer that fetches": {
			func(c *bearer.Config) { c.Role, c.Reuse = bearer.Issuer, 1 },
			"an issuer fetches no keys",
		},
		"verifier that calls": {
			func(c *bearer.Config) { c.Streams = []peer.Stream{{Every: 1}} },
			"a verifier calls nobody: leave streams out; streams[0] has no targets",
		},
		"reuse": {
			func(c *bearer.Config) { *c = issuer; c.Reuse = 0 },
			"reuse_ns must be positive of an issuer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := good
			jwks := *good.JWKS
			changed.JWKS = &jwks
			test.change(&changed)
			text, err := json.Marshal(changed)
			require.NoError(t, err)
			got, err := bearer.DecodeConfig(text)
			if test.want == "" {
				require.NoError(t, err)
				assert.Equal(t, changed, got)
				return
			}
			var problems *peer.ConfigError
			require.ErrorAs(t, err, &problems)
			require.ErrorContains(t, err, test.want)
			assert.Equal(t, err, bearer.Run(t.Context(), changed, nil, nil))
		})
	}
	_, err := bearer.DecodeConfig([]byte(`{"pood": "a"}`))
	assert.ErrorContains(t, err, `unknown field "pood"`)
}
