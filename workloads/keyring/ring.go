package keyring

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Ring is the keys of one read. It does not change: it may be shared.
type Ring struct {
	primary     string
	ids         []string // sorted
	keys        map[string]Key
	version     string
	fingerprint string
	ignored     []string
}

func newRing(l *listing, keys map[string]Key, version string) *Ring {
	r := &Ring{primary: l.primary, ids: l.ids, keys: keys, version: version, ignored: l.ignored}
	r.fingerprint = r.digest()
	return r
}

// Primary returns the key to sign and encrypt with.
func (r *Ring) Primary() Key { return r.keys[r.primary] }

// Key returns the key of an id, to verify and decrypt with. Case counts.
func (r *Ring) Key(id string) (Key, bool) {
	key, ok := r.keys[id]
	return key, ok
}

// IDs returns the ids of all keys, sorted.
func (r *Ring) IDs() []string { return slices.Clone(r.ids) }

// Ignored returns the names of files that were not read since they are of no wanted part, sorted.
// A misspelt r3.kye is here. Hidden files are not.
func (r *Ring) Ignored() []string { return slices.Clone(r.ignored) }

// Version returns what the ..data link pointed at, or "" without such a link.
func (r *Ring) Version() string { return r.version }

// Fingerprint names the ring in metrics and records: 32 hexadecimal digits that follow from the
// ids, from which one is primary, and from public keys and certificates. It says nothing about
// symmetric keys: rings that differ only in these have the same. So have those of a signer, which
// reads private parts, and of a verifier of the same version, which reads public ones.
func (r *Ring) Fingerprint() string { return r.fingerprint }

// String returns the ids with a star behind the primary: "r1 r2*".
func (r *Ring) String() string {
	var out strings.Builder
	for i, id := range r.ids {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(id)
		if id == r.primary {
			out.WriteByte('*')
		}
	}
	return out.String()
}

// LogValue returns the ids, the version and the fingerprint.
func (r *Ring) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("ids", r.String()),
		slog.String("version", r.version),
		slog.String("fingerprint", r.fingerprint),
	)
}

func (r *Ring) digest() string {
	hash := sha256.New()
	for _, id := range r.ids {
		m := r.keys[id].material()
		_, _ = fmt.Fprintf(hash, "%s %t %x %x\n", id, id == r.primary, m.spki, m.rawCertificate())
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// equal reports whether two rings were read from folders that hold the same.
func (r *Ring) equal(other *Ring) bool {
	if r.version != other.version || r.primary != other.primary ||
		!slices.Equal(r.ids, other.ids) || !slices.Equal(r.ignored, other.ignored) {
		return false
	}
	return !slices.ContainsFunc(r.ids, func(id string) bool {
		return !r.keys[id].material().equal(other.keys[id].material())
	})
}

// follows returns an error if an id of both rings is of another key than it was in old.
func (r *Ring) follows(old *Ring) error {
	for _, id := range r.ids {
		before, ok := old.keys[id]
		if m := r.keys[id].material(); ok && !m.sameKey(before.material()) {
			return &ReadError{File: m.file, ID: id, Problem: Reused, Err: errReused}
		}
	}
	return nil
}
