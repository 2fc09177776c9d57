package main

import (
	"github.com/spf13/cobra"

	"github.com/certquake/certquake/workloads/peer"
)

func newPeers(std streams) *cobra.Command {
	return role[peer.Config]{
		name:  "peers",
		short: "Be a peer: serve mutual TLS, dial others, reload as told",
		long: `peers is one mutual-TLS peer, such as an Akka node: it serves on one port, dials its
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
		example: `  workload peers --config @peer.json
  curl -d "{\"base\": \"$(date -u +%FT%TZ)\"}" localhost:7480/begin`,
		decode: peer.DecodeConfig, run: peer.Run,
	}.command(std)
}
