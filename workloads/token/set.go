package token

import (
	stdjson "encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/certquake/certquake/workloads/keyring"
)

// Limits of a JWKS document, so that whoever serves one cannot wear out those who fetch it.
const (
	MaxSetBytes = 512 << 10
	MaxSetKeys  = 256
)

// Set is the keys of one algorithm that a verifier has, by kid. It does not change: it may be
// shared. Create it with SetOf or ParseSet.
type Set struct {
	algorithm Algorithm
	kids      []string // sorted
	ignored   int
	// key is a closure, and not a map, because printers cannot look into it.
	key func(kid string) (any, bool)
}

func newSet(a Algorithm, keys map[string]any, ignored int) *Set {
	return &Set{
		algorithm: a, kids: slices.Sorted(maps.Keys(keys)), ignored: ignored,
		key: func(kid string) (any, bool) { key, ok := keys[kid]; return key, ok },
	}
}

// SetOf returns the keys of a ring, all of them. The error, a *SetError, names the key that does
// not fit the algorithm or is too weak.
func SetOf(ring *keyring.Ring, a Algorithm) (*Set, error) {
	if !a.known() {
		return nil, &SetError{Problem: UnknownAlgorithm, Err: errAlgorithm}
	}
	keys := map[string]any{}
	for _, id := range ring.IDs() {
		key, _ := ring.Key(id)
		verifying, err := a.verifying(key)
		if err != nil {
			return nil, &SetError{Kid: id, Problem: WrongKey, Err: err}
		}
		keys[id] = verifying
	}
	return newSet(a, keys, 0), nil
}

// ParseSet returns the keys of a JWKS document (RFC 7517) that are of the algorithm. The error is a
// *SetError.
//
// A private or symmetric key anywhere in it condemns the whole document: its secret is out. Keys
// for other uses, of other algorithms, too weak, damaged, without a kid or with one that is not
// letters, digits and . _ -, are ignored, as the RFC wants. An empty set is a set.
func ParseSet(document []byte, a Algorithm) (*Set, error) {
	switch {
	case a.Symmetric():
		return nil, &SetError{Problem: Secret, Err: errSecret}
	case !a.known():
		return nil, &SetError{Problem: UnknownAlgorithm, Err: errAlgorithm}
	case len(document) > MaxSetBytes:
		return nil, &SetError{Problem: TooLarge, Err: errKeys}
	}
	// This decoder minds case and refuses names that come twice, so what it sees here is what the
	// parser of keys sees later.
	var jwks struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &jwks); err != nil || jwks.Keys == nil {
		return nil, &SetError{Problem: Malformed, Err: errJWKS}
	}
	if len(*jwks.Keys) > MaxSetKeys {
		return nil, &SetError{Problem: TooLarge, Err: errKeys}
	}
	keys := map[string]any{}
	for _, raw := range *jwks.Keys {
		if err := secretive(raw); err != nil {
			return nil, err
		}
		kid, key, ok := a.parse(raw)
		if !ok {
			continue
		}
		if _, twice := keys[kid]; twice {
			return nil, &SetError{Kid: kid, Problem: Duplicate, Err: errDuplicate}
		}
		keys[kid] = key
	}
	return newSet(a, keys, len(*jwks.Keys)-len(keys)), nil
}

// secretive returns an error if a key of a JWKS holds a secret, or is no JSON object so that nobody
// knows.
func secretive(raw []byte) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return &SetError{Problem: Malformed, Err: errJWKS}
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, ok := members[name]; ok {
			return &SetError{Problem: Secret, Err: errSecret}
		}
	}
	return nil
}

// parse returns a key of a JWKS and its kid, or false if it is to be ignored.
func (a Algorithm) parse(raw []byte) (kid string, key any, ok bool) {
	var about struct {
		Ops []string `json:"key_ops"`
	}
	var jwk jose.JSONWebKey
	if json.Unmarshal(raw, &about) != nil || jwk.UnmarshalJSON(raw) != nil ||
		!validKid(jwk.KeyID) || a.fits(jwk.Key) != nil ||
		jwk.Use != "" && jwk.Use != "sig" || jwk.Algorithm != "" && jwk.Algorithm != string(a) ||
		len(about.Ops) > 0 && !slices.Contains(about.Ops, "verify") {
		return "", nil, false
	}
	return jwk.KeyID, jwk.Key, true
}

// JWKS returns the document that ParseSet reads, its keys sorted by kid. The error, a *SetError, is
// returned for a symmetric algorithm, whose keys nobody but their holders may see.
func (s *Set) JWKS() ([]byte, error) {
	if s.algorithm.Symmetric() {
		return nil, &SetError{Problem: Secret, Err: errSecret}
	}
	jwks := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, len(s.kids))}
	for i, kid := range s.kids {
		key, _ := s.key(kid)
		jwks.Keys[i] = jose.JSONWebKey{
			Key: key, KeyID: kid, Algorithm: string(s.algorithm), Use: "sig",
		}
	}
	document, err := stdjson.Marshal(jwks)
	if err != nil {
		return nil, &SetError{Problem: WrongKey, Err: errEncoding}
	}
	return document, nil
}

// Has reports whether the set has a key of the id. Case counts.
func (s *Set) Has(kid string) bool {
	_, ok := s.key(kid)
	return ok
}

// Algorithm returns the algorithm of the keys.
func (s *Set) Algorithm() Algorithm { return s.algorithm }

// Kids returns the ids of all keys, sorted.
func (s *Set) Kids() []string { return slices.Clone(s.kids) }

// Ignored returns how many keys of a JWKS were not for this set.
func (s *Set) Ignored() int { return s.ignored }

// String returns the ids: "r1 r2".
func (s *Set) String() string { return strings.Join(s.kids, " ") }

// LogValue returns the algorithm and the ids.
func (s *Set) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("algorithm", string(s.algorithm)), slog.String("kids", s.String()),
	)
}
