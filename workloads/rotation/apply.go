package rotation

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Material is the files of one key by what they hold.
type Material map[Part][]byte

// Source is where new keys come from.
type Source struct {
	// Random is crypto/rand's reader in production. Ids are drawn from it too.
	Random io.Reader
	// Keys makes a key; nil means Generate.
	Keys func(Key, io.Reader) (Material, error)
}

// Secret is what one write puts in place: the files, and the State kept beside them.
type Secret struct {
	Files map[string][]byte
	State State
}

// StaleError says that the files are no longer those that a Decision was made on.
type StaleError struct {
	Action Action
	What   string
}

// Error names the action and what does not fit.
func (e *StaleError) Error() string {
	return fmt.Sprintf("apply %s: %s; read the files and decide again", e.Action, e.What)
}

var (
	errNotDecided = errors.New("apply: the decision refuses to touch the secret")
	errNoParts    = errors.New("a key was made without files that make a key")
)

// Apply returns what the Decision makes of the files. They are left as they are, and files that
// are of no key are carried over. It fails with a *StaleError when the files are not those that
// were decided on, and when a new key cannot be made; then nothing is to be written.
func Apply(d Decision, files map[string][]byte, source Source) (Secret, error) {
	if len(d.Problems) > 0 {
		return Secret{}, errNotDecided
	}
	ring, problems := ReadRing(slices.Collect(maps.Keys(files)))
	if len(problems) > 0 {
		return Secret{}, &StaleError{Action: d.Action, What: problems[0].String()}
	}
	if !ring.equal(d.ring) {
		return Secret{}, &StaleError{
			Action: d.Action, What: fmt.Sprintf("the keys are %v, not %v", ring.IDs, d.ring.IDs),
		}
	}
	secret := Secret{Files: maps.Clone(files), State: d.Next}
	if secret.Files == nil {
		secret.Files = map[string][]byte{}
	}
	switch d.Action {
	case Create, Publish:
		if err := secret.add(d, source); err != nil {
			return Secret{}, fmt.Errorf("apply %s: %w", d.Action, err)
		}
	case Promote, Rollback:
		secret.promote(d.To)
	case Retire:
		secret.remove(d.ID)
	case Wait, Abandon, Migrate, Halt:
	}
	return secret, secret.check(d.Action)
}

// check holds the result against its State: nothing that breaks the convention is ever written.
func (s Secret) check(action Action) error {
	ring, problems := ReadRing(slices.Collect(maps.Keys(s.Files)))
	if len(problems) == 0 {
		problems = compare(ring, s.State.ring())
	}
	if len(problems) > 0 {
		return &StaleError{Action: action, What: problems[0].String()}
	}
	return nil
}

// add makes the key of Create and Publish, and draws its id if need be.
func (s *Secret) add(d Decision, source Source) error {
	id := d.ID
	if id == "" {
		uuid, err := newUUID(d.Next.Stamp, source.Random)
		if err != nil {
			return err
		}
		id = d.prefix + uuid
		if d.Action == Create {
			s.State.Primary = id
		} else {
			s.State.Next = id
		}
	}
	if d.ring.Has(id) {
		return &StaleError{Action: d.Action, What: "there is a key of the id " + id}
	}
	generate := source.Keys
	if generate == nil {
		generate = Generate
	}
	material, err := generate(d.key, source.Random)
	if err != nil {
		return err
	}
	parts := slices.Sorted(maps.Keys(material))
	if !complete(parts) {
		return errNoParts
	}
	for _, part := range parts {
		name := file{id: id, part: part, primary: d.Action == Create}.name()
		s.Files[name] = material[part]
	}
	return nil
}

// promote names every file after who is primary now.
func (s *Secret) promote(id string) {
	renamed := make(map[string][]byte, len(s.Files))
	for name, data := range s.Files {
		if f, ok := parseFile(name); ok {
			f.primary = f.id == id
			name = f.name()
		}
		renamed[name] = data
	}
	s.Files = renamed
}

// remove takes the files of a key away.
func (s *Secret) remove(id string) {
	maps.DeleteFunc(s.Files, func(name string, _ []byte) bool {
		f, ok := parseFile(name)
		return ok && f.id == id
	})
}

// Names returns the names of files in order, for Input.
func Names(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// String returns the names of the files and never what they hold.
func (s Secret) String() string { return strings.Join(Names(s.Files), " ") }

// GoString is String, so that no print of a Secret shows a key.
func (s Secret) GoString() string { return s.String() }
