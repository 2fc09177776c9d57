package sim

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/rotation"
)

// ring is the files of keys with ids, as a Secret or a volume holds them. Like certificates, keys
// are symbols until real code is to judge them. It is never changed.
type ring struct {
	files   []keyFile // in order of their names
	ids     []string  // of all keys, sorted
	primary []string  // of those that are marked: one in a ring that is good
}

// keyFile is one file of a ring.
type keyFile struct {
	name string
	part rotation.Part
	key  *ringKey // nil for a file that is empty
}

// ringKey is one key with an id.
type ringKey struct {
	number int
	kind   rotation.Key
}

// primaryMark ends the names of the files of the key that signs.
const primaryMark = ".primary"

// newRing returns the ring of files.
func newRing(files []keyFile) *ring {
	r := &ring{files: slices.Clone(files)}
	slices.SortFunc(r.files, func(a, b keyFile) int { return strings.Compare(a.name, b.name) })
	ids, primary := map[string]bool{}, map[string]bool{}
	for _, f := range r.files {
		id := f.id()
		ids[id] = true
		if strings.HasSuffix(f.name, primaryMark) {
			primary[id] = true
		}
	}
	r.ids, r.primary = slices.Sorted(maps.Keys(ids)), slices.Sorted(maps.Keys(primary))
	return r
}

// id returns the id of the file's key.
func (f keyFile) id() string {
	stem := strings.TrimSuffix(f.name, primaryMark)
	return strings.TrimSuffix(stem, "."+string(f.part))
}

// names returns the files' names.
func (r *ring) names() []string {
	names := make([]string, len(r.files))
	for i, f := range r.files {
		names[i] = f.name
	}
	return names
}

// signer returns the key that is primary and its id, nil if there is not exactly one.
func (r *ring) signer() (*ringKey, string) {
	if len(r.primary) != 1 {
		return nil, ""
	}
	for _, f := range r.files {
		if f.id() == r.primary[0] && f.key != nil {
			return f.key, r.primary[0]
		}
	}
	return nil, ""
}

// equal reports whether both rings are of the same files; a nil ring is none.
func (r *ring) equal(other *ring) bool {
	if r == nil || other == nil {
		return r == other
	}
	return slices.Equal(r.files, other.files)
}

// String returns the ids, the primary marked by a star, as in r1* r2.
func (r *ring) String() string {
	marked := make([]string, len(r.ids))
	for i, id := range r.ids {
		marked[i] = id
		if slices.Contains(r.primary, id) {
			marked[i] += "*"
		}
	}
	return strings.Join(marked, " ")
}

// generation names the ring of a Secret.
func (r *ring) generation(secret string) *record.Generation {
	return &record.Generation{Leaf: keyNames(secret, r.primary), Trust: keyNames(secret, r.ids)}
}

// keyNames names keys by their Secret's name without its namespace, which one run rarely needs.
func keyNames(secret string, ids []string) string {
	_, name, _ := strings.Cut(secret, "/")
	named := make([]string, len(ids))
	for i, id := range ids {
		named[i] = name + "/" + id
	}
	return strings.Join(named, "+")
}

// partsOf returns the files that a key of the kind has.
func partsOf(kind rotation.Kind) []rotation.Part {
	switch kind {
	case rotation.Symmetric:
		return []rotation.Part{rotation.SecretPart}
	case rotation.Password:
		return []rotation.Part{rotation.PasswordPart}
	case rotation.RSA, rotation.EC, rotation.Ed25519:
	}
	return []rotation.Part{rotation.PrivatePart, rotation.PublicPart}
}

// keyFiles returns the files of a key.
func keyFiles(id string, key *ringKey, primary bool) []keyFile {
	var files []keyFile
	for _, part := range partsOf(key.kind.Kind) {
		name := id + "." + string(part)
		if primary {
			name += primaryMark
		}
		files = append(files, keyFile{name, part, key})
	}
	return files
}

// materialPool keeps real keys for reuse, as keyPool does.
type materialPool map[rotation.Key][]rotation.Material

// get returns the nth key of the kind, making it at first use.
func (p materialPool) get(kind rotation.Key, n int) (rotation.Material, error) {
	for len(p[kind]) <= n {
		made, err := rotation.Generate(kind, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		p[kind] = append(p[kind], made)
	}
	return p[kind][n], nil
}

// ringMint turns the symbols of rings into files for one execution. Equal keys give equal bytes
// within it.
type ringMint struct {
	pool materialPool
	keys map[*ringKey]rotation.Material
	used map[rotation.Key]int
}

func newRingMint(pool materialPool) *ringMint {
	return &ringMint{
		pool: pool, keys: map[*ringKey]rotation.Material{}, used: map[rotation.Key]int{},
	}
}

// files returns the ring as the files of a Secret volume.
func (m *ringMint) files(r *ring) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, f := range r.files {
		files[f.name] = nil
		if f.key == nil {
			continue
		}
		made, err := m.key(f.key)
		if err != nil {
			return nil, err
		}
		files[f.name] = made[f.part]
	}
	return files, nil
}

func (m *ringMint) key(k *ringKey) (rotation.Material, error) {
	if made, ok := m.keys[k]; ok {
		return made, nil
	}
	made, err := m.pool.get(k.kind, m.used[k.kind])
	if err != nil {
		return nil, err
	}
	m.used[k.kind]++
	m.keys[k] = made
	return made, nil
}

// ring appends the ring to the shape: its files by what they are of which key. Ids count by whether
// they are the same, so they are numbered as keys are.
func (s *shape) ring(r *ring) {
	s.number(len(r.files))
	for _, f := range r.files {
		s.bytes = append(s.bytes, f.part...)
		if strings.HasSuffix(f.name, primaryMark) {
			s.bytes = append(s.bytes, '*')
		}
		s.id(f.id())
		s.ringKey(f.key)
	}
}

func (s *shape) id(id string) {
	i := slices.Index(s.ids, id)
	if i < 0 {
		i = len(s.ids)
		s.ids = append(s.ids, id)
	}
	s.number(i)
}

func (s *shape) ringKey(k *ringKey) {
	if k == nil {
		s.bytes = append(s.bytes, '-')
		return
	}
	i := slices.Index(s.ringKeys, k)
	if i < 0 {
		i = len(s.ringKeys)
		s.ringKeys = append(s.ringKeys, k)
		s.bytes = append(s.bytes, k.kind.Kind...)
		s.bytes = append(s.bytes, k.kind.Curve...)
		s.bytes = append(s.bytes, strconv.Itoa(k.kind.Bits+k.kind.Length)...)
	}
	s.number(i)
}
