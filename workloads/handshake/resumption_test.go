package handshake_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// TestResumption makes a first attempt, lets something happen, and makes a second one.
func TestResumption(t *testing.T) {
	rows := []struct {
		name    string
		between func(r *resumers)
		resumed bool
		outcome record.Outcome
		side    record.Side
	}{
		{"nothing happens", func(*resumers) {}, true, record.OK, ""},
		{"the server reloads equal files", func(r *resumers) {
			r.server = ready(r.t, r.serverMaterial, r.settings)
		}, false, record.OK, ""},
		{"the client reloads equal files", func(r *resumers) {
			r.client = ready(r.t, r.clientMaterial, r.settings)
		}, false, record.OK, ""},
		{"the server no longer trusts the client's CA", func(r *resumers) {
			r.server = ready(r.t, distrusting(r.t, r.serverMaterial), r.settings)
		}, false, record.UnknownAuthority, record.Server},
		{"the client no longer trusts the server's CA", func(r *resumers) {
			r.client = ready(r.t, distrusting(r.t, r.clientMaterial), r.settings)
		}, false, record.UnknownAuthority, record.Client},
		{"the server's leaf expires", func(r *resumers) {
			r.clientNow = r.serverMaterial.Leaf.NotAfter.Add(time.Second)
		}, false, record.Expired, record.Client},
		{"the client's leaf expires", func(r *resumers) {
			r.serverNow = r.clientMaterial.Leaf.NotAfter.Add(time.Second)
		}, false, record.Expired, record.Server},
		{"another server answers to the name", func(r *resumers) {
			r.server = ready(r.t, newWorld(r.t, tls13).server, r.settings)
		}, false, record.UnknownAuthority, record.Client},
	}
	for _, row := range rows {
		for _, version := range []uint16{tls12, tls13} {
			t.Run(row.name+"/"+tls.VersionName(version), func(t *testing.T) {
				r := newResumers(t, version, true)
				r.attempt(t, false, record.OK, "")
				row.between(r)
				r.attempt(t, row.resumed, row.outcome, row.side)
			})
		}
	}
}

// TestResumptionOff is how canaries are set up: every attempt is a full handshake.
func TestResumptionOff(t *testing.T) {
	for _, version := range []uint16{tls12, tls13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newResumers(t, version, false)
			r.attempt(t, false, record.OK, "")
			r.attempt(t, false, record.OK, "")
		})
	}
}

// TestResumptionCAExpires has the CA run out between two attempts while the leafs stay valid:
// neither end lets the remembered session stand in for a verification.
func TestResumptionCAExpires(t *testing.T) {
	r := newResumers(t, tls13, true)
	ca := newAuthority(t, "short", newEC(), aDay)
	r.serverMaterial = node(t, ca, order{valid: aYear})
	r.clientMaterial = node(t, ca, order{valid: aYear})
	r.server = ready(t, r.serverMaterial, r.settings)
	r.client = ready(t, r.clientMaterial, r.settings)
	r.attempt(t, false, record.OK, "")
	r.attempt(t, true, record.OK, "")
	r.clientNow = start.Add(25 * time.Hour)
	r.attempt(t, true, record.Expired, record.Client)
	r.clientNow, r.serverNow = start, start.Add(25*time.Hour)
	r.attempt(t, false, record.Expired, record.Server)
}

type resumers struct {
	t                              *testing.T
	settings                       handshake.Settings
	clientMaterial, serverMaterial *credential.Material
	client, server                 *handshake.Context
	clientNow, serverNow           time.Time
}

func newResumers(t *testing.T, version uint16, resumption bool) *resumers {
	t.Helper()
	w := newWorld(t, version)
	w.onClient.Resumption = resumption
	return &resumers{
		t:              t,
		settings:       w.onClient,
		clientMaterial: w.client, serverMaterial: w.server,
		client: ready(t, w.client, w.onClient), server: ready(t, w.server, w.onClient),
		clientNow: start, serverNow: start,
	}
}

func (r *resumers) attempt(
	t *testing.T, resumed bool, want record.Outcome, by record.Side,
) {
	t.Helper()
	c, s := handshake.Do(t.Context(), r.client, r.server, serverName,
		at(r.clientNow), at(r.serverNow))
	outcome, side := handshake.Join(c, s)
	require.Equal(t, want, outcome, "client: %v, server: %v", c.Err, s.Err)
	assert.Equal(t, by, side)
	if want == record.OK {
		assert.Equal(t, resumed, c.Resumed)
		assert.Equal(t, resumed, s.Resumed)
		assert.NotNil(t, c.Peer)
		assert.NotNil(t, s.Peer)
	}
}

// distrusting returns the same credential trusting another CA only.
func distrusting(t *testing.T, m *credential.Material) *credential.Material {
	t.Helper()
	changed := *m
	changed.CAs = nil
	changed.CAs = append(changed.CAs, newAuthority(t, "stranger", newEC(), aYear).cert)
	return &changed
}
