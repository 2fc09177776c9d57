//go:build e2e

package kind_test

import (
	"fmt"
	"os"
	"testing"

	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/certquake/certquake/clusters/kube/operator"
)

// settings are e2e-framework's flags: -feature chooses among the features, -dry-run does nothing.
var settings *envconf.Config

// TestMain reads the flags. Tests bring their own clusters up, so that one alone takes no others.
func TestMain(m *testing.M) {
	operator.Main()
	var err error
	if settings, err = envconf.NewFromFlags(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}
