package kube

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/certquake/certquake/scenarios"
)

func TestSecretHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.secrets[leafSecret]
	first := s.current()
	require.NotNil(t, first)
	assert.Equal(t, first, s.paired())

	torn := first.object.DeepCopy()
	torn.Data[keyKey] = mint(t, nil, "x", false).keyFile(t)
	second := r.write(5*time.Second, torn)
	assert.True(t, second.torn)
	assert.False(t, second.issued, "the leaf is the old one")
	assert.Equal(t, second, s.current())
	assert.Equal(t, first, s.paired())

	r.saw(leafSecret, nil, base.Add(6*time.Second))
	assert.Nil(t, s.current())
	assert.Equal(t, first, s.paired())
	assert.True(t, s.last().deleted)

	empty := &secret{}
	assert.Nil(t, empty.current())
	assert.Nil(t, empty.paired())
	assert.Nil(t, empty.last())
}

// A Secret that is still being made, as cert-manager's with a key alone, is none yet.
func TestReadContentWithoutLeaf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	object := stored(t, leafSecret, r.leaf, r.root)
	delete(object.Data, certKey)
	assert.Nil(t, r.write(time.Second, object))
	assert.Nil(t, r.write(time.Second, &corev1.Secret{ObjectMeta: object.ObjectMeta}))
}

func TestHolding(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2 := mint(t, nil, "root", true)
	r.write(1*time.Second, stored(t, rootSecret, root2, root2))
	r.write(10*time.Second, stored(t, leafSecret, r.leaf, r.root, root2))
	r.write(20*time.Second, stored(t, leafSecret, r.leaf, r.root))
	s := r.secrets[leafSecret]
	old, both, back := s.history[0], s.history[1], s.history[2]
	one := r.names.translate(words(r.leaf, r.root))
	two := r.names.translate(words(r.leaf, r.root, root2))
	reversed := r.names.translate(words(r.leaf, root2, r.root))
	assert.Equal(t, old, s.holding(one, 19*time.Second, false))
	assert.Equal(t, both, s.holding(one, 19*time.Second, true), "it trusts the first alone")
	assert.Equal(t, back, s.holding(one, 20*time.Second, false))
	assert.Equal(t, both, s.holding(two, time.Minute, false))
	assert.Nil(t, s.holding(two, 9*time.Second, false), "nobody had written it")
	assert.Nil(t, s.holding(reversed, time.Minute, false), "an order of its own")
	one.Torn = true
	assert.Nil(t, s.holding(one, time.Minute, false))
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2, root3 := mint(t, nil, "root", true), mint(t, nil, "root", true)
	r.write(1*time.Second, stored(t, leafSecret, r.leaf, r.root, root2))
	r.write(2*time.Second, stored(t, rootSecret, root2, root2))
	r.write(3*time.Second, stored(t, rootSecret, root3, root3))
	leaf, authority := r.secrets[leafSecret], r.secrets[rootSecret]
	names := func(refs ...scenarios.AuthorityRef) []string {
		var names []string
		for _, ca := range leaf.trusted(authority, refs) {
			names = append(names, r.names.other(ca).name)
		}
		return names
	}
	assert.Equal(t, []string{"root/1", "root/2", "root/3"},
		names(scenarios.Previous, scenarios.Current))
	assert.Equal(t, []string{"root/3"}, names(scenarios.Current))
	r.write(4*time.Second, stored(t, leafSecret, r.leaf, root2, root3))
	assert.Equal(t, []string{"root/2"}, names(scenarios.Previous), "but for the current one")

	r.saw(rootSecret, nil, base.Add(5*time.Second))
	assert.Equal(t, []string{"root/3"}, names(scenarios.Current), "gone or not, it is the newest")
	r.saw(leafSecret, nil, base.Add(6*time.Second))
	assert.Empty(t, names(scenarios.Previous))
}
