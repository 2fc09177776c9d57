package request

import (
	"slices"
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/rotation"
)

// Names is what the names of files say of a key ring, good or not.
type Names struct {
	IDs     []string // of all keys, sorted
	Primary []string // of those that are marked, sorted: one in a ring that is good
}

// primaryMark ends the names of the files of the key that signs.
const primaryMark = ".primary"

// NamesIn returns what the names of files say. Those of no key do not count.
func NamesIn(files []string) Names {
	var n Names
	for _, file := range files {
		stem, marked := strings.CutSuffix(file, primaryMark)
		for _, part := range []rotation.Part{
			rotation.SecretPart, rotation.PasswordPart, rotation.PrivatePart, rotation.PublicPart,
		} {
			id, ok := strings.CutSuffix(stem, "."+string(part))
			if !ok || !keyring.ValidID(id) {
				continue
			}
			n.IDs = append(n.IDs, id)
			if marked {
				n.Primary = append(n.Primary, id)
			}
		}
	}
	for _, ids := range []*[]string{&n.IDs, &n.Primary} {
		slices.Sort(*ids)
		*ids = slices.Compact(*ids)
	}
	return n
}

// NamesOf returns the names of a ring.
func NamesOf(ring *keyring.Ring) Names {
	return Names{IDs: ring.IDs(), Primary: []string{ring.Primary().ID}}
}

// String returns the ids with a star behind those that are primary: "r1 r2*".
func (n Names) String() string {
	marked := slices.Clone(n.IDs)
	for i, id := range marked {
		if slices.Contains(n.Primary, id) {
			marked[i] += "*"
		}
	}
	return strings.Join(marked, " ")
}

// Generation names the keys of a Secret, which goes without its namespace.
func (n Names) Generation(secret string) record.Generation {
	return record.Generation{Leaf: named(secret, n.Primary), Trust: named(secret, n.IDs)}
}

func named(secret string, ids []string) string {
	full := make([]string, len(ids))
	for i, id := range ids {
		full[i] = secret + "/" + id
	}
	return strings.Join(full, "+")
}
