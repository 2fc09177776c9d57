package cli_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/cli"
)

// staying is a backend of which clusters are left over, and others stay.
type staying struct {
	failing
	left []string
	err  error
}

func (s staying) Prune(context.Context) ([]string, error) { return s.left, s.err }

func (s staying) Remove(_ context.Context, names []string) ([]string, error) {
	return []string{"by name " + strings.Join(names, " and ")}, s.err
}

func TestClusterPrune(t *testing.T) {
	t.Parallel()
	two := []string{"cluster a, with its network", "cluster b"}
	for name, test := range map[string]struct {
		backend cli.Backend
		args    []string
		code    int
		out     string
		err     string
	}{
		"nothing left": {staying{}, nil, cli.ExitOK, "", ""},
		"two left": {
			staying{left: two},
			nil, cli.ExitOK,
			"removed " + strings.Join(two, "\nremoved ") + "\n", "",
		},
		"of a backend": {
			staying{left: two[1:]},
			[]string{"--backend", "failing"},
			cli.ExitOK,
			"removed cluster b\n", "",
		},
		"by name": {
			staying{left: two}, []string{"x", "y"}, cli.ExitOK, "removed by name x and y\n", "",
		},
		"none can be": {
			failing{},
			nil, cli.ExitUsage, "",
			"certquake: there is nothing to prune: these clusters end with their process\n",
		},
		"no such world": {
			staying{},
			[]string{"--backend", "moon"},
			cli.ExitUsage, "",
			"certquake: no backend \"moon\"\n",
		},
		"one stays": {
			staying{left: two[:1], err: errors.New("no engine answers")},
			nil, cli.ExitFail,
			"removed " + two[0] + "\n", "certquake: failing: no engine answers\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, err := run(t.Context(), test.backend,
				append([]string{"cluster", "prune"}, test.args...)...)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.out, out)
			first, _, _ := strings.Cut(err, "certquake: hint")
			assert.Equal(t, test.err, first)
		})
	}
}
