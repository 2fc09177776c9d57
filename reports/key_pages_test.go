package reports

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports/plots"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/token"
)

// hastyScene is a rotation that does not wait for edge.
func hastyScene() *scene {
	s := newTokenScene()
	s.plan.Why = "The new key signs before all verifiers have fetched it."
	s.plan.Expect = scenarios.Expect{Verdict: "fail", Because: "trust-gap"}
	*s.plan.World.RotatingSecrets[0].Spec.PromoteAfter = "30s"
	for i := range s.rows {
		if row := &s.rows[i]; row.From == signAt {
			took := row.To - row.From
			row.From = publishAt + 30*time.Second
			row.To = row.From + took
			row.Projected = 0
		}
	}
	s.later("edge-0", publishAt, publishAt+75*time.Second)
	s.later("edge-0", publishAt+30*time.Second, publishAt+80*time.Second)
	s.refuse("edge-0", publishAt+40*time.Second, 17, record.UnknownKid, "r2", "r1*")
	s.fetch(0, publishAt, 11, record.OK)
	return s
}

// The pages are golden where they tell of keys.
func TestKeyPages(t *testing.T) {
	a := hastyScene().analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	assert.True(t, r.AsExpected)
	data, err := encode(r)
	require.NoError(t, err)
	golden(t, "keys.json", data)
	data, err = markdown(r, nil)
	require.NoError(t, err)
	golden(t, "keys.md", data)
	page, err := webpage(a, r, nil)
	require.NoError(t, err)
	for _, part := range []string{
		`<td class="number">30s</td><td class="number">1m26.3s</td><td class="number">` +
			`<span class="status fail">✗ -56.3s: too short</span></td><td class="number">` +
			`<span class="status fail">✗ 30s: too short</span></td>`,
		`<td class="number">11m26.3s</td><td class="number">8m33.7s</td><td class="number">` +
			`24m30s</td>`,
		`<tr><td class="number">10m30s</td><td><code>r1 r2*</code></td></tr>`,
		`<td><code>unknown-kid</code></td><td class="number">17</td><td class="number">0.47` +
			"\u00a0" + `%</td>`,
		`<td class="name">edge</td><td>auth</td><td class="number">11</td>`,
		`<td>issuer, ES256<small>valid for 10m, used for 5m</small></td>` +
			`<td>Secret default/jwt</td>`,
		`<td>verifier, ES256<small>leeway 1m</small></td><td>JWKS of auth</td><td>when used, ` +
			`once older than 1m</td><td class="number">1m26.3s</td><td class="number">1m28.3s</td>`,
		`<td class="number">26.3s</td><td class="number"></td></tr>`, // an issuer refuses nobody
		`<dt>a rotation is too fast by</dt><dd>56.3s<small>publish-to-sign of default/jwt: waits ` +
			`30s, needs 1m26.3s</small>`,
		"<p>Every call that the plan scheduled is accounted for: 3,600 scheduled",
		"Verdicts on tokens come from real JWT code",
	} {
		assert.Contains(t, string(page), part)
	}
	for _, part := range []string{
		"certificate</", "pair check", "new connections", "handshake", "Handshake", "cert-manager",
	} {
		assert.NotContains(t, string(page), part)
	}
}

func TestPageOfAVerifierThatForgetsNothing(t *testing.T) {
	s := newTokenScene()
	s.plan.Tokens[2].JWKS.Kind, s.plan.Tokens[2].JWKS.MaxAge = string(token.RefetchOnUnknown), 0
	a := s.analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	page, err := webpage(a, r, nil)
	require.NoError(t, err)
	assert.Contains(t, string(page), `<td>for every unknown kid</td><td class="number">26.3s</td>`+
		`<td class="number">not bounded</td>`)
}

func TestPagesWithoutKeys(t *testing.T) {
	a := newScene().analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	page, err := webpage(a, r, nil)
	require.NoError(t, err)
	data, err := encode(r)
	require.NoError(t, err)
	for _, part := range []string{"<h2>Keys", "JWKS", "accepts a"} {
		assert.NotContains(t, string(page), part)
	}
	for _, part := range []string{`"keys"`, "kid", "fetched", "token"} {
		assert.NotContains(t, string(data), part)
	}
}

func TestPicturesOfCalls(t *testing.T) {
	a := hastyScene().analyse(t, false)
	titles := map[string]string{}
	for _, d := range a.drawings() {
		titles[d.name] = d.caption
	}
	assert.Contains(t, titles["outcomes"], "Each moment's calls per second")
	assert.Contains(t, titles["matrix"], "the pod of the row calls the pod of the column")
	assert.Contains(t, titles["lanes"], "the star is at the one that signs")
	assert.Contains(t, titles["propagation"], "Nothing is predicted for keys that are fetched")
	assert.Equal(t, "Calls over the whole run, by outcome",
		a.outcomesPlot(a.run(), "Calls over the whole run, by outcome").Title)
	assert.Equal(t, "calls", a.outcomesPlot(a.run(), "").Attempts)
	m := a.matrixPlot()
	assert.Equal(t, "Who could call whom at the worst moment", m.Title)
	assert.Equal(t, &[2]string{"calls", "is called"}, m.Verbs)
	assert.Equal(t, []string{"auth-0"}, m.Names)
	assert.Equal(t, []string{"api-0", "edge-0"}, m.Columns)
	assert.Equal(t, [][]plots.Cell{
		{{Tried: true}, {Tried: true, Share: 1, Reason: "unknown-kid"}},
	}, m.Cells)
	p := a.propagationPlot()
	assert.Equal(t, "6 propagations of this run by kubelets", p.Count)
	assert.Equal(t, "2 propagations by a JWKS", p.FetchedCount)
	assert.Len(t, p.Fetched, 4)
	pictures, err := a.pictures()
	require.NoError(t, err)
	for _, picture := range pictures {
		assert.NotContains(t, string(picture.drawn.SVG), "new connection", picture.name)
	}
}

func TestWhenAJWKSIsFetched(t *testing.T) {
	for want, policy := range map[string]token.Policy{
		"for every unknown kid": token.GoOIDC(),
		"when used, once older than 10m; for an unknown kid, 30s after the last fetch; refuses " +
			"all tokens when that fails": token.PanvaJose(),
		"when used, once older than 10m; refuses all tokens when that fails": token.Envoy(),
		"every 1h": token.LestrratJWX(),
	} {
		assert.Equal(t, want, fetchOf(policy))
	}
}

func TestManySteps(t *testing.T) {
	s := newTokenScene()
	for i := range stepsMax {
		s.rings(50*time.Minute+time.Duration(i)*time.Second, []string{"r2* r3", "r2*"}[i%2])
	}
	r := s.judge(t)
	require.Len(t, r.Keys.Secrets[0].Steps, stepsMax+4)
	data, err := markdown(r, nil)
	require.NoError(t, err)
	assert.Contains(t, string(data), "r2\\* r3 at 50m34s, r2\\* at 50m35s and 4 more.\n")
}
