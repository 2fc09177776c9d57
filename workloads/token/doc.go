// Package token signs JSON Web Tokens with the primary of a key ring and verifies them by key id,
// through any rotation of the keys. The same code runs in a pod and in the simulator. The
// cryptography and the formats are go-jose's.
//
// An issuer asks a Signer, which signs with the primary of the ring that its source returns at that
// moment. A verifier asks a Verifier, which takes its keys from where a Keys says: RingKeys are
// those of a mounted key ring, a Cache is those of a JWKS that is fetched, by the Policy of one or
// another real verifier. ServeJWKS publishes the public keys of a ring.
//
// A verifier accepts one algorithm, the one of its Settings, and the key that its own set has for
// the token's kid. Nothing else in a token has a say: a token without a kid, or one that brings a
// key or the address of one (jwk, jku, x5u, x5c), or that asks for extensions (crit, b64), is
// refused, and so is any writing of a token but the canonical one. Ids are never part of a path or
// an address, and an id that no set may hold never causes a fetch.
//
// Why a token was refused is an *Error with an Outcome of a closed set. No token, claim or key
// material is in an error, nor in what printers make of a Set, a Signer or a Verifier. The package
// reads no clock and starts no goroutine; only NewFetcher and ServeJWKS know of HTTP.
package token
