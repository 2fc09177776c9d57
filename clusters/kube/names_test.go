package kube

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
)

// After the API server was away Secrets are seen in the order of their names, so that a leaf may
// come before its CA. Names are right as soon as both were seen.
func TestGuessesBecomeNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2 := mint(t, nil, "root", true)
	leaf2 := mint(t, root2, "a.example", false)
	c := r.write(10*time.Second, stored(t, leafSecret, leaf2, root2))
	guess := "unknown:" + root2.print()
	assert.Equal(t, &record.Generation{Leaf: "leaf/2", Trust: guess, Chain: guess}, c.held)
	r.write(10*time.Second, stored(t, rootSecret, root2, root2))
	want := &record.Generation{Leaf: "leaf/2", Trust: "root/2", Chain: "root/2"}
	assert.Equal(t, want, r.secrets[leafSecret].current().held)
	assert.Len(t, r.sofar().of(record.Issue), 4, "both are issuances")

	r.tell("a-1", reloads("a-1", 11*time.Second, 12*time.Second, words(leaf2, root2)))
	got := r.sofar().of(record.Reload)
	require.Len(t, got, 1)
	assert.Equal(t, want, got[0].Own)
	assert.Equal(t, 10*time.Second, got[0].From)
}

// A CA that keeps its key over a reissue issues under its newest name.
func TestIssuerWithSameKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2 := mintFor(t, nil, "root", true, r.root.key)
	c := r.write(10*time.Second, stored(t, rootSecret, root2, root2))
	assert.Equal(t, "root/2", c.held.Chain)
	c = r.write(11*time.Second, stored(t, leafSecret, mint(t, root2, "a.example", false), root2))
	assert.Equal(t, "root/2", c.held.Chain)
	assert.Equal(t, "root/1", r.secrets[leafSecret].history[0].held.Chain)
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := newNames()
	root := mint(t, nil, "root", true)
	leaf := mint(t, root, "a.example", false)
	assert.False(t, n.has(words(leaf, root)))
	assert.Equal(t, "unknown:"+root.print(), n.other(root.cert).name)
	named, isNew := n.issued(root.cert, "default/root")
	assert.True(t, isNew)
	assert.Equal(t, "root/1", named.name)
	_, isNew = n.issued(root.cert, "default/root")
	assert.False(t, isNew)
	assert.False(t, n.has(words(leaf, root)))
	n.issued(leaf.cert, "default/leaf")
	assert.True(t, n.has(words(leaf, root)))
	assert.True(t, n.has(nil))
	assert.True(t, n.has(&record.Generation{}), "it held nothing")

	assert.Nil(t, n.translate(nil))
	assert.Equal(t, &record.Generation{}, n.translate(&record.Generation{}))
	torn := words(leaf, root, leaf)
	torn.Torn = true
	assert.Equal(t,
		&record.Generation{Leaf: "leaf/1", Trust: "root/1+leaf/1", Chain: "root/1", Torn: true},
		n.translate(torn))
}

func TestCertificatesOfFile(t *testing.T) {
	t.Parallel()
	root := mint(t, nil, "root", true)
	data := append([]byte("some talk\n"), root.keyFile(t)...)
	data = append(data, file(certificates(stored(t, rootSecret, root, root, root).Data[caKey]))...)
	certs := certificates(append(data, "-----BEGIN CERTIFICATE-----\n"...))
	require.Len(t, certs, 2)
	assert.True(t, certs[1].Equal(root.cert))
	assert.Empty(t, certificates(nil))
}
