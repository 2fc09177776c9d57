package main

import (
	"context"

	"github.com/certquake/certquake/clusters/image"
	"github.com/certquake/certquake/clusters/programs"
	"github.com/certquake/certquake/harness/cli"
)

// workloadImage makes the image of the workload program, or of another one in its place.
func workloadImage(ctx context.Context, program string) (cli.Image, error) {
	if program == "" {
		found, err := programs.Workload(ctx, programsFolder())
		if err != nil {
			return cli.Image{}, err
		}
		program = found
	}
	made, err := image.Build(program)
	if err != nil {
		return cli.Image{}, err
	}
	ref, err := image.Ref(made)
	if err != nil {
		return cli.Image{}, err
	}
	digest, err := made.Digest()
	return cli.Image{
		Ref: ref, Digest: digest.String(),
		Write: func(path string) error { return image.WriteOCI(path, ref, made) },
	}, err
}
