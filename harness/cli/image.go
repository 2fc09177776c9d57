package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/harness"
)

// Image is the container image of the workload program.
type Image struct {
	Ref    string // how pods name it
	Digest string // how registries do
	// Write writes an archive that container runtimes import, and replaces an earlier one.
	Write func(path string) error
}

// imageFile is where the archive goes unless --out says else.
const imageFile = "workload-image.tar"

// errNoImage is of a build whose backends need no containers.
var errNoImage = errors.New("no backend of this build needs an image")

func newImage(env *Env) *cobra.Command {
	var out, program string
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Write the container image of the workload program to a file",
		Long: `Image makes the image of the program in the pods, without Docker or a network. It
prints the image's name and digest, and writes an archive: an OCI image layout, which an
older Docker can load, too. To have the image where nodes find it, type one of these:

  docker load -i workload-image.tar
  ctr -n k8s.io images import workload-image.tar                            # on each node
  kind load image-archive workload-image.tar
  skopeo copy oci-archive:workload-image.tar docker://registry.example/certquake/workload:TAG
  mkdir image && tar -xf workload-image.tar -C image &&
    crane push image registry.example/certquake/workload:TAG

The same program gives the same image, and a tag that no other has. It is never latest,
so that nodes which have the image do not look for it elsewhere.`,
		Example: `  certquake image
  certquake image --out /tmp/workload-image.tar --program bin/workload`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if env.Image == nil {
				return usage(errNoImage, "")
			}
			ctx := harness.WithTalk(cmd.Context(), func(line string) {
				tell(env.Stderr, "certquake: %s\n", line)
			})
			image, err := env.Image(ctx, program)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return errInterrupted
			case program != "":
				return usage(err, "")
			default:
				return err
			}
			if err = image.Write(out); err != nil {
				return err
			}
			tell(env.Stderr, "certquake: wrote %s\n", out)
			tell(env.Stdout, "%s %s\n", image.Ref, image.Digest)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", imageFile, "`FILE` for the archive")
	cmd.Flags().StringVar(&program, "program", "",
		"static `EXECUTABLE` to use as the workload, instead of finding or building it")
	return cmd
}
