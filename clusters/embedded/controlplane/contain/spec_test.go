package contain

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		add, drop []string
		want      []int
	}{
		"all dropped":         {nil, []string{"ALL"}, nil},
		"one added after all": {[]string{"NET_BIND_SERVICE"}, []string{"all"}, []int{10}},
		"with prefix":         {[]string{"CAP_SYS_TIME"}, []string{"ALL"}, []int{25}},
		"what runtimes grant": {nil, nil, []int{0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}},
		"some of those dropped": {
			nil,
			[]string{"NET_RAW", "MKNOD"},
			[]int{0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31},
		},
	} {
		got, err := Capabilities(c.add, c.drop)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, got, name)
	}
	_, err := Capabilities([]string{"FLY"}, nil)
	assert.ErrorContains(t, err, `unknown capability "FLY"`)
}
