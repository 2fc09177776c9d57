package scenarios_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// services is a sound scenario of tokens, for rows to break.
const services = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: services}
spec:
  why: A sound scenario.
  manifests:
    - apiVersion: certquake.dev/v1alpha1
      kind: RotatingSecret
      metadata: {name: jwt}
      spec: {generate: {kind: ec}, every: 24h, promoteAfter: 10m, retireAfter: 20m}
    - apiVersion: certquake.dev/v1alpha1
      kind: RotatingSecret
      metadata: {name: secret}
      spec: {generate: {kind: symmetric}}
  workloads:
    - {name: auth, tokenIssuer: {replicas: 2, secret: jwt, tokenTTL: 10m, reuse: 5m}}
    - {name: api, tokenVerifier: {replicas: 2, secret: jwt, leeway: 0s}}
    - {name: edge, tokenVerifier: {replicas: 2, jwks: {from: auth, policy: max-age, maxAge: 2m}}}
    - {name: other, tokenIssuer: {replicas: 1, secret: secret}}
  load:
    - {workload: auth, to: [api, edge], requests: {rate: 1/s}}
  faults:
    - {at: 10m, rotateKeys: {secret: jwt, rollbackAfter: 20m}}
    - {at: 40m, spoilKeys: {secret: jwt, how: no-primary, for: 5m}}
  horizon: 1h
`

func parseServices(edits ...string) (*scenarios.Scenario, error) {
	text := strings.NewReplacer(edits...).Replace(services)
	return scenarios.Parse("s.yaml", []byte(text), nil, nil)
}

// What is wrong with scenarios of tokens is said with its place and the next step.
func TestTokenProblems(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ from, to, want string }{
		{
			"generate: {kind: ec}",
			"generate: {kind: ec, curve: P-384}",
			"workloads[0].tokenIssuer.secret: no token can be signed with the keys of default/jwt",
		},
		{
			"generate: {kind: symmetric}",
			"generate: {kind: password}",
			"workloads[3].tokenIssuer.secret: no token can be signed with the keys of",
		},
		{
			"generate: {kind: symmetric}",
			"generate: {kind: symmetric, length: 16}",
			"rsa, ec with curve P-256, ed25519, or symmetric of 32 bytes or more",
		},
		{
			"generate: {kind: ec}",
			"generate: {kind: eec}",
			`s.yaml:11: manifests[0].spec.generate.kind: unknown kind "eec"`,
		},
		{"every: 24h", "every: 1d", `manifests[0].spec.every: "1d" is no time; use one such as`},
		{
			"every: 24h",
			"evry: 24h",
			`manifests[0].spec.evry: unknown field; did you mean "every"?`,
		},
		{
			"every: 24h",
			"gate: uptake",
			"spec.consumers: the gate uptake has nobody to ask; say which pods to ask by " +
				"labels certquake.dev/workload: <workload>",
		},
		{
			"every: 24h",
			"orders: {rotate: now}",
			"manifests[0].spec.orders: are given by faults in scenarios; use rotateKeys",
		},
		{
			"metadata: {name: secret}\n      spec: {",
			"metadata: {name: secret}\n      spec: {secretName: jwt, ",
			"another RotatingSecret writes the Secret default/jwt too",
		},
		{
			"secret: jwt, tokenTTL",
			"secret: jwd, tokenTTL",
			`no RotatingSecret writes the Secret default/jwd; did you mean "default/jwt"?`,
		},
		{"tokenTTL: 10m", "tokenTTL: 0s", "workloads[0].tokenIssuer.tokenTTL: 0s is not positive"},
		{"tokenTTL: 10m", "tokenTTL: 10ms", "10ms is less than 1s; dates in tokens are whole"},
		{
			"reuse: 5m",
			"reuse: 15m",
			"reuse: 15m is more than the token's life of 10m; callers ask",
		},
		{"reuse: 5m", "keyringTTL: 0s", "keyringTTL: 0s is not positive; 1ms reads at every use"},
		{"reuse: 5m", "keyringTTL: 5m, readOnce: true", "keyringTTL: has no effect with readOnce"},
		{"leeway: 0s", "leeway: -1s", "workloads[1].tokenVerifier.leeway: -1s is negative"},
		{"secret: jwt, leeway", "leeway", "has neither secret nor jwks"},
		{
			"secret: jwt, leeway: 0s",
			"secret: jwt, jwks: {from: auth, policy: envoy}",
			"workloads[1].tokenVerifier: has both secret and jwks; leave one out",
		},
		{
			"jwks: {from: auth",
			"readOnce: true, jwks: {from: auth",
			"has a key ring's settings and a jwks; leave keyringTTL and readOnce out",
		},
		{
			"from: auth",
			"from: api",
			"jwks.from: api is no tokenIssuer; name the workload that signs",
		},
		{"from: auth", "from: auht", `there is no workload "auht"; did you mean "auth"?`},
		{"from: auth", "from: other", "other signs with a secret, which is in no JWKS; have its"},
		{"policy: max-age", "policy: max-ages", `jwks.policy: "max-ages" is none of max-age,`},
		{
			"maxAge: 2m",
			"cooldown: 2m",
			"workloads[2].tokenVerifier.jwks: max-age: max age 0s: want",
		},
		{
			"policy: max-age",
			"policy: envoy",
			"jwks: envoy has its own durations; leave them out, or use policy max-age",
		},
		{
			"requests: {rate: 1/s}",
			"newConnections: {rate: 1/s}",
			"load[0].workload: auth makes no newConnections; a tokenIssuer makes requests",
		},
		{
			"requests: {rate: 1/s}",
			"requests: {rate: 1/s}, newConnections: {rate: 1/s}",
			"load[0]: has both newConnections and requests; write one load for each",
		},
		{
			"workload: auth, to: [api, edge]",
			"workload: api, to: [edge]",
			"load[0].workload: api is no tokenIssuer; requests carry tokens",
		},
		{
			"to: [api, edge], ",
			"",
			"load[0].to: is required; name the tokenVerifiers that are called",
		},
		{
			"to: [api, edge]",
			"to: [other]",
			"load[0].to[0]: other is no tokenVerifier; requests carry",
		},
		{
			"workload: auth, to: [api, edge]",
			"workload: other, to: [edge]",
			"load[0].to[0]: edge has the keys of auth, not of other",
		},
		{
			"workload: auth, to: [api, edge]",
			"workload: other, to: [api]",
			"load[0].to[0]: api has the keys of Secret default/jwt, not of default/secret",
		},
		{
			"rotateKeys: {secret: jwt, r",
			"rotateKeys: {secret: jtw, r",
			"faults[0].rotateKeys.secret: no RotatingSecret writes the Secret default/jtw",
		},
		{
			"rollbackAfter: 20m",
			"rollbackAfter: 55m",
			"rotateKeys[0]/reject would be at 1h5m, not before the horizon (1h)",
		},
		{
			"how: no-primary",
			"how: none",
			`spoilKeys.how: "none" is none of two-primaries, no-primary`,
		},
		{
			"tokenIssuer: {replicas: 1, secret: secret}",
			"tlsPeers: {replicas: 2, secret: secret}",
			"tlsPeers.secret: no Certificate writes the Secret default/secret",
		},
	} {
		_, err := parseServices(row.from, row.to)
		require.Contains(t, services, row.from)
		require.ErrorContains(t, err, row.want, "%s -> %s", row.from, row.to)
	}
	_, err := parseServices("metadata: {name: jwt}\n",
		"metadata: {name: jwt, namespace: shop}\n")
	assert.ErrorContains(t, err, "workloads[0].tokenIssuer.secret: no RotatingSecret writes the "+
		"Secret default/jwt; the Secrets are shop/jwt, default/secret")
}

func TestTokenPlan(t *testing.T) {
	t.Parallel()
	s, err := parseServices()
	require.NoError(t, err)
	plan, err := s.Plan(1)
	require.NoError(t, err)
	assert.Equal(t, []scenarios.TokenGroup{
		{
			Consumer: scenarios.Consumer{
				Workload: "auth", Namespace: "default", Secret: "default/jwt",
				Policy: "lazy-ttl", Every: 5 * time.Minute, KeepLastGood: true, Pinned: true,
			},
			Role: scenarios.Issues, Algorithm: "ES256", TTL: 10 * time.Minute,
			Reuse: 5 * time.Minute,
		},
		{
			Consumer: scenarios.Consumer{
				Workload: "api", Namespace: "default", Secret: "default/jwt",
				Policy: "lazy-ttl", Every: 5 * time.Minute, KeepLastGood: true, Pinned: true,
			},
			Role: scenarios.Verifies, Algorithm: "ES256",
		},
		{
			Consumer: scenarios.Consumer{Workload: "edge", Namespace: "default"},
			Role:     scenarios.Verifies, Algorithm: "ES256", Leeway: time.Minute,
			JWKS: &scenarios.JWKSGroup{From: "auth", Kind: "max-age", MaxAge: 2 * time.Minute},
		},
	}, plan.Tokens[:3])
	assert.Equal(t, "HS256", plan.Tokens[3].Algorithm)
	assert.Equal(t, 5*time.Minute, plan.Tokens[3].TTL, "the default, as the reuse")
	assert.Equal(t, 5*time.Minute, plan.Tokens[3].Reuse)
	bounds := plan.Bounds()
	assert.Equal(t, 391300*time.Millisecond, bounds["api"])
	assert.Equal(t, bounds["auth"]+2*time.Minute, bounds["edge"])
	for _, pod := range plan.Pods {
		issues := plan.TokensOf(pod.Workload).Role == scenarios.Issues
		assert.Equal(t, issues, pod.TokenAge > 0, pod.Name)
		assert.Less(t, pod.TokenAge, 5*time.Minute)
		assert.Equal(t, pod.Workload == "edge", pod.KeysAge > 0, pod.Name)
	}
	var table strings.Builder
	require.NoError(t, plan.Table(&table))
	assert.Contains(t, table.String(), "JWKS of auth max-age 2m")
}

// At a higher speed everything that a rotation of keys waits for is shorter, skews of clocks too.
func TestFasterTokens(t *testing.T) {
	t.Parallel()
	s, err := parseServices("how: no-primary, for: 5m}}",
		"how: no-primary, for: 5m}}\n    - {at: 50m, skewClock: {workload: api, pods: 1, by: 2m}}")
	require.NoError(t, err)
	plan, err := s.Plan(1)
	require.NoError(t, err)
	fast, err := plan.Faster(10)
	require.NoError(t, err)
	assert.Equal(t, time.Minute, fast.Tokens[0].TTL)
	assert.Equal(t, 30*time.Second, fast.Tokens[0].Reuse)
	assert.Equal(t, 30*time.Second, fast.Tokens[0].Every)
	assert.Equal(t, 6*time.Second, fast.Tokens[2].Leeway)
	assert.Equal(t, 12*time.Second, fast.Tokens[2].JWKS.MaxAge)
	assert.Equal(t, 2*time.Minute, plan.Tokens[2].JWKS.MaxAge, "the original is as it was")
	spec, problems := fast.World.RotatingSecrets[0].Spec.Rotation()
	assert.Empty(t, problems)
	assert.Equal(t, 144*time.Minute, spec.Every)
	assert.Equal(t, time.Minute, spec.PromoteAfter)
	assert.Equal(t, 2*time.Minute, spec.RetireAfter)
	assert.Equal(t, 12*time.Second, fast.Actions[len(fast.Actions)-1].Skew)
	_, err = plan.Faster(1000)
	require.ErrorIs(t, err, scenarios.ErrSpeed)
	assert.ErrorContains(t, err, "workload auth: tokenTTL: 10m would be 600ms, and dates in "+
		"tokens are whole seconds; use --speed 600 at most")
}
