package cli

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pruning is a backend whose clusters may be left over.
type pruning struct{ Backend }

func (pruning) Name() string                            { return "pruning" }
func (pruning) Prune(context.Context) ([]string, error) { return nil, nil }

// plain is a backend of which nothing is left.
type plain struct{ Backend }

// Work that is left behind after an interrupt may leave a cluster: what removes it is named where
// there can be one.
func TestAbandonedWorkNamesWhatRemovesClusters(t *testing.T) {
	t.Parallel()
	env := Env{Backends: []Backend{plain{}, pruning{}}}
	err := env.unfinished(errAbandoned)
	require.ErrorIs(t, err, errInterrupted)
	require.EqualError(t, err, errAbandoned.Error()+
		"; certquake cluster prune removes what is left of a cluster")
	env.Backends = env.Backends[:1]
	assert.Equal(t, errAbandoned, env.unfinished(errAbandoned))
	env.Backends = []Backend{pruning{}}
	assert.Equal(t, errInterrupted, env.unfinished(errInterrupted))
	require.NoError(t, env.unfinished(nil))
}
