package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/workloads/peer"
)

// configMax bounds a config, in bytes.
const configMax = 16 << 20

func newPeers(std streams) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "peers --config JSON|@FILE|-",
		Short: "Be a peer: serve mutual TLS, dial others, reload as told",
		Long: `peers is one mutual-TLS peer, such as an Akka node: it serves on one port, dials its
targets on a schedule, keeps associations up and reads its credential again as its policy
says. It begins when it is told offset 0 by a POST to the admin port.

  {
    "pod": "a-0", "mount": "/tls", "state": "/state",
    "listen": ":7443", "admin": ":7480",
    "policy": {"kind": "lazy-ttl", "every_ns": 300000000000},
    "read": {"trust": "first-cert"}, "tls": {"peer_rule": "shared-subject"},
    "horizon_ns": 600000000000, "deadline_ns": 5000000000,
    "streams": [{"every_ns": 100000000, "phase_ns": 0, "first": 0, "targets":
      [{"pod": "a-1", "address": "a-1.peers:7443", "server_name": "a-1"}]}]
  }

Kinds of policy: lazy-ttl, poll, watch, watch-once, start-up. Durations are nanoseconds.
The admin port has GET /metrics /healthz /readyz /status and POST /begin /clock /restart.`,
		Example: `  workload peers --config @peer.json
  curl -d "{\"base\": \"$(date -u +%FT%TZ)\"}" localhost:7480/begin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("workload peers takes no argument, got %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := readConfig(config, std.in)
			if err != nil {
				return &usageError{err}
			}
			decoded, err := peer.DecodeConfig(data)
			if err != nil {
				return err
			}
			return peer.Run(cmd.Context(), decoded, std.out, std.err)
		},
	}
	cmd.Flags().StringVar(&config, "config", "",
		"the config: JSON, @FILE, or - for standard input")
	return cmd
}

var errNoConfig = errors.New("workload peers needs --config")

// readConfig returns the text that the flag's value stands for.
func readConfig(value string, stdin io.Reader) ([]byte, error) {
	switch {
	case value == "":
		return nil, errNoConfig
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
