package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// configMax bounds a config, in bytes.
const configMax = 16 << 20

// role is a subcommand that plays one role, as its config says.
type role[C any] struct {
	name, short, long, example string

	decode func(data []byte) (C, error)
	run    func(ctx context.Context, config C, stdout, stderr io.Writer) error
}

func (r role[C]) command(std streams) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: r.name + " --config JSON|@FILE|-", Short: r.short, Long: r.long, Example: r.example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{
					fmt.Errorf("workload %s takes no argument, got %q", r.name, args[0]),
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return &usageError{fmt.Errorf("workload %s needs --config", r.name)}
			}
			data, err := readConfig(config, std.in)
			if err != nil {
				return &usageError{err}
			}
			decoded, err := r.decode(data)
			if err != nil {
				return err
			}
			return r.run(cmd.Context(), decoded, std.out, std.err)
		},
	}
	cmd.Flags().StringVar(&config, "config", "",
		"the config: JSON, @FILE, or - for standard input")
	return cmd
}

// readConfig returns the text that the flag's value stands for.
func readConfig(value string, stdin io.Reader) ([]byte, error) {
	switch {
	case value == "-":
		return readAll(stdin)
	case strings.HasPrefix(value, "@"):
		file, err := os.Open(value[1:])
		if err != nil {
			return nil, fmt.Errorf("open config: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		return readAll(file)
	}
	return []byte(value), nil
}

var errBigConfig = fmt.Errorf("the config is longer than %d bytes", configMax)

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, configMax+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if len(data) > configMax {
		return nil, errBigConfig
	}
	return data, nil
}
