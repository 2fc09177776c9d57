package rotation

import (
	"fmt"
	"slices"
	"strings"
)

// Part is what a file of a key holds, and the extension of its name.
type Part string

// The parts of keys.
const (
	SecretPart   Part = "key"      // the bytes of a symmetric key
	PasswordPart Part = "password" // its characters
	PrivatePart  Part = "private"  // PKCS #8 in PEM
	PublicPart   Part = "public"   // PKIX in PEM
)

// primarySuffix marks the files of the key that signs.
const primarySuffix = ".primary"

// keysMax is how many keys there are at most, in a rollback too: that turns the two around.
const keysMax = 2

// Ring is the keys of a secret by their ids: what a consumer that read its files knows.
type Ring struct {
	IDs     []string `json:"ids"` // sorted as text
	Primary string   `json:"primary"`
}

// file is the name of a file of a key, taken apart.
type file struct {
	id      string
	part    Part
	primary bool
}

func (f file) name() string {
	if f.primary {
		return f.id + "." + string(f.part) + primarySuffix
	}
	return f.id + "." + string(f.part)
}

// parseFile takes a file's name apart. It reports false for a file that is of no key.
func parseFile(name string) (file, bool) {
	name, primary := strings.CutSuffix(name, primarySuffix)
	for _, part := range []Part{SecretPart, PasswordPart, PrivatePart, PublicPart} {
		if id, ok := strings.CutSuffix(name, "."+string(part)); ok {
			return file{id: id, part: part, primary: primary}, true
		}
	}
	return file{}, false
}

// ReadRing returns the ring that files make by their names, and what is wrong with it. Files that
// are of no key do not count. No files make a ring without keys, which is not wrong.
func ReadRing(names []string) (Ring, []Problem) {
	parts := map[string][]Part{}
	primaries := map[string]bool{}
	var problems []Problem
	for _, name := range slices.Sorted(slices.Values(names)) {
		f, ok := parseFile(name)
		switch {
		case !ok:
			continue
		case f.id == "":
			problems = append(problems, Problem{
				UnnamedKey, name, "the key has no id", "rename it to <id>" + name,
			})
			continue
		case slices.Contains(parts[f.id], f.part):
			problems = append(problems, Problem{
				KeyTwice, name, "the key is there with and without " + primarySuffix,
				"remove one of the two",
			})
		}
		parts[f.id] = append(parts[f.id], f.part)
		if f.primary {
			primaries[f.id] = true
		}
	}
	ring := Ring{}
	for id := range parts {
		ring.IDs = append(ring.IDs, id)
	}
	slices.Sort(ring.IDs)
	for _, id := range ring.IDs {
		if !complete(parts[id]) {
			problems = append(problems, Problem{
				IncompleteKey, id, fmt.Sprintf("%v make no key", parts[id]),
				"keep key, password, private, or private and public",
			})
		}
		if primaries[id] {
			ring.Primary = id
		}
	}
	return ring, append(problems, ring.problems(len(primaries))...)
}

// complete reports whether parts, in the order of their names, are of exactly one key. A private
// key that somebody made by hand needs no public file.
func complete(parts []Part) bool {
	parts = slices.Compact(slices.Clone(parts))
	return len(parts) == 1 && parts[0] != PublicPart ||
		slices.Equal(parts, []Part{PrivatePart, PublicPart})
}

func (r Ring) problems(primaries int) []Problem {
	var problems []Problem
	ids := strings.Join(r.IDs, ", ")
	switch {
	case len(r.IDs) == 0:
	case primaries == 0:
		problems = append(problems, Problem{
			NoPrimary, ids, "no key is primary",
			"rename the file of one to end in " + primarySuffix,
		})
	case primaries > 1:
		problems = append(problems, Problem{
			TwoPrimaries, ids, fmt.Sprintf("%d keys are primary", primaries),
			"keep " + primarySuffix + " on the one that consumers sign with",
		})
	}
	if len(r.IDs) > keysMax {
		problems = append(problems, Problem{
			TooManyKeys, ids, fmt.Sprintf("%d keys, where a rotation has at most %d",
				len(r.IDs), keysMax), "remove those that nobody uses",
		})
	}
	return problems
}

// Has reports whether the key is in the ring.
func (r Ring) Has(id string) bool { return slices.Contains(r.IDs, id) }

// equal reports whether two rings are the same.
func (r Ring) equal(other Ring) bool {
	return r.Primary == other.Primary && slices.Equal(r.IDs, other.IDs)
}

// other returns the id beside the primary's, or "".
func (r Ring) other() string {
	for _, id := range r.IDs {
		if id != r.Primary {
			return id
		}
	}
	return ""
}
