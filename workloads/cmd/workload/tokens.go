package main

import (
	"github.com/spf13/cobra"

	"github.com/certquake/certquake/workloads/bearer"
)

func newTokens(std streams) *cobra.Command {
	return role[bearer.Config]{
		name:  "tokens",
		short: "Sign tokens and call others with them, or verify those of callers",
		long: `tokens is one issuer of JSON Web Tokens, which signs with the primary of its mounted
key ring, calls its targets on a schedule and publishes its public keys at /jwks.json, or one
verifier, which has its keys from a mounted ring or from such an address. It begins when it is
told offset 0 by a POST to the admin port.

  {
    "pod": "v-0", "role": "verifier", "mount": "/keys", "state": "/state",
    "listen": ":7443", "admin": ":7480", "secret": "jwt",
    "token": {"algorithm": "ES256", "leeway_ns": 60000000000},
    "keyring_ttl_ns": 300000000000,
    "horizon_ns": 600000000000, "deadline_ns": 5000000000
  }

An issuer has reuse_ns, how long it calls with one token, and streams as peers have them. In
the place of mount, a verifier may have a jwks:

  "jwks": {"address": "http://issuers:7443/jwks.json",
    "policy": {"kind": "refetch-on-unknown", "max_age_ns": 300000000000}}

Kinds of policy: max-age, refetch-on-unknown, refetch-with-cooldown, background. Algorithms:
HS256, RS256, ES256, EdDSA. Durations are nanoseconds. The admin port is that of peers.`,
		example: `  workload tokens --config @verifier.json
  curl -d "{\"base\": \"$(date -u +%FT%TZ)\"}" localhost:7480/begin`,
		decode: bearer.DecodeConfig, run: bearer.Run,
	}.command(std)
}
