package certmanager

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// definitions are the CRDs of the cert-manager module in go.mod, copied here by the build.
//
//go:embed all:crds
var definitions embed.FS

// ErrNoDefinitions says that the program was not built by `go run ./build`.
var ErrNoDefinitions = errors.New(
	"built without cert-manager's CRDs: build with `go run ./build -o DIR`")

// apiWaitMax bounds the wait for an API server that is starting, or away by a fault.
const apiWaitMax = 10 * time.Minute

// installDefinitions creates the CRDs and waits until the API serves them. It also waits for
// the API server itself.
func installDefinitions(ctx context.Context, config *rest.Config) error {
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	crds, err := readDefinitions()
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := poll(ctx, func(ctx context.Context) error {
			_, err := client.ApiextensionsV1().CustomResourceDefinitions().
				Create(ctx, crd, meta.CreateOptions{})
			return ignore(err, apierrors.IsAlreadyExists)
		}); err != nil {
			return fmt.Errorf("install %s: %w", crd.Name, err)
		}
	}
	for _, crd := range crds {
		if err := poll(ctx, func(ctx context.Context) error {
			got, err := client.ApiextensionsV1().CustomResourceDefinitions().
				Get(ctx, crd.Name, meta.GetOptions{})
			return errors.Join(err, unestablished(got))
		}); err != nil {
			return fmt.Errorf("wait for %s: %w", crd.Name, err)
		}
	}
	return nil
}

func readDefinitions() ([]*apiextensions.CustomResourceDefinition, error) {
	paths, err := fs.Glob(definitions, "crds/*.yaml")
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, ErrNoDefinitions
	}
	crds := make([]*apiextensions.CustomResourceDefinition, len(paths))
	for i, path := range paths {
		text, err := definitions.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &crds[i]); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return crds, nil
}

func unestablished(crd *apiextensions.CustomResourceDefinition) error {
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensions.Established {
			if condition.Status == apiextensions.ConditionTrue {
				return nil
			}
		}
	}
	return errors.New("not established yet")
}

// poll repeats do until it succeeds, and returns its last error when time is up.
func poll(ctx context.Context, do func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, apiWaitMax, true,
		func(ctx context.Context) (bool, error) {
			last = do(ctx)
			return last == nil, nil
		})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func ignore(err error, harmless func(error) bool) error {
	if harmless(err) {
		return nil
	}
	return err
}
