package embedded

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/certquake/certquake/clusters/programs"
)

// The programs of an embedded cluster. The control plane starts ctrinit, which must lie beside it.
const (
	programControlPlane = "controlplane"
	programContainer    = "ctrinit"
	programWorkload     = programs.WorkloadName
)

// controlPlaneFolder is the control plane's module in a checkout.
const controlPlaneFolder = "clusters/embedded/controlplane"

// kit is what `make embedded` builds. The control plane's flags are known to its own build program
// alone: other ones would compile all of Kubernetes again.
func kit() programs.Kit {
	return programs.Kit{
		For: "of the embedded cluster", Make: "embedded",
		Steps: []programs.Step{{
			What:     "the embedded Kubernetes (minutes at first, later seconds)",
			Programs: []string{programControlPlane, programContainer},
			Sources:  []string{controlPlaneFolder},
			Dir:      controlPlaneFolder,
			Args:     func(bin string) []string { return []string{"run", "./build", "-o", bin} },
		}, programs.WorkloadStep()},
	}
}

// locate returns a folder that holds all programs, and builds them if need be. The workload is left
// to imagesOf, because another one may be given.
func locate(ctx context.Context, bin string) (string, error) {
	bin, err := kit().Find(ctx, bin)
	if err != nil {
		return "", err
	}
	return bin, errors.Join(
		kit().Check(filepath.Join(bin, programControlPlane), false),
		kit().Check(filepath.Join(bin, programContainer), true))
}
