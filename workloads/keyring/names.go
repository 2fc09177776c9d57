package keyring

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	primarySuffix = ".primary"
	idLenMax      = 128
)

// listing is what the names in a folder say, before any file is opened.
type listing struct {
	primary string
	ids     []string                   // sorted
	files   map[string]map[Part]string // the names, by id and part
	marks   []mark                     // in the order of their names
	ignored []string                   // the names of files that are none of a wanted part
}

// mark is a file whose name says that its key is primary.
type mark struct{ id, file string }

// list sorts out the names of a folder. Errors are *ReadError.
func list(names []string, parts []Part) (*listing, error) {
	l := &listing{files: map[string]map[Part]string{}}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue // hidden, or the kubelet's own
		}
		if err := l.add(name, parts); err != nil {
			return nil, err
		}
	}
	l.ids = slices.Sorted(maps.Keys(l.files))
	if len(l.ids) == 0 {
		return nil, &ReadError{File: ".", Problem: Empty, Err: errNoKeys}
	}
	for _, check := range []func([]Part) error{l.caseClash, l.missing, l.findPrimary} {
		if err := check(parts); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// add takes one name in. A mark counts on parts of the convention that are not wanted too: where
// the private parts are marked, those who read only the public parts see the same primary.
func (l *listing) add(name string, parts []Part) error {
	id, part, marked := split(name)
	wanted := slices.Contains(parts, part)
	if marked && (wanted || known(part)) {
		l.marks = append(l.marks, mark{id: id, file: name})
	}
	if !wanted {
		l.ignored = append(l.ignored, name)
		return nil
	}
	if !ValidID(id) {
		return &ReadError{File: name, Problem: BadID, Err: errID}
	}
	if l.files[id] == nil {
		l.files[id] = map[Part]string{}
	}
	if other, ok := l.files[id][part]; ok {
		err := fmt.Errorf("%s is there too: remove one", other)
		return &ReadError{File: name, ID: id, Problem: Clash, Err: err}
	}
	l.files[id][part] = name
	return nil
}

// caseClash refuses ids that a file system or a human that does not see case takes for one.
func (l *listing) caseClash([]Part) error {
	folded := map[string]string{}
	for _, id := range l.ids {
		lower := strings.ToLower(id)
		if other, ok := folded[lower]; ok {
			err := fmt.Errorf("the id differs from %s only by case", other)
			return &ReadError{File: l.anyFile(id), ID: id, Problem: Clash, Err: err}
		}
		folded[lower] = id
	}
	return nil
}

func (l *listing) missing(parts []Part) error {
	for _, id := range l.ids {
		for _, part := range parts {
			if _, ok := l.files[id][part]; !ok {
				name := id + "." + string(part)
				return &ReadError{File: name, ID: id, Problem: Missing, Err: errNoFile}
			}
		}
	}
	return nil
}

// findPrimary finds the one id that is marked, on whichever and however many of its parts.
func (l *listing) findPrimary([]Part) error {
	for _, m := range l.marks {
		switch {
		case l.files[m.id] == nil: // of no key here
		case l.primary == "":
			l.primary = m.id
		case l.primary != m.id:
			err := fmt.Errorf("%s is primary too: leave one", l.primary)
			return &ReadError{File: m.file, ID: m.id, Problem: TwoPrimaries, Err: err}
		}
	}
	if l.primary == "" {
		return &ReadError{File: ".", Problem: NoPrimary, Err: errNoPrimary}
	}
	return nil
}

// anyFile returns the first name of an id's files.
func (l *listing) anyFile(id string) string {
	return slices.Min(slices.Collect(maps.Values(l.files[id])))
}

// split takes a name apart: <id>.<part> or <id>.<part>.primary. A name without a part has part "".
func split(name string) (id string, part Part, primary bool) {
	stem, primary := strings.CutSuffix(name, primarySuffix)
	dot := strings.LastIndexByte(stem, '.')
	if dot < 0 {
		return "", "", primary
	}
	return stem[:dot], Part(stem[dot+1:]), primary
}

func known(part Part) bool {
	return part == Symmetric || part == Private || part == Public || part == Certificate
}

// ValidID reports whether a key can be called so: ids are kept to what is the same in file names,
// headers and logs, letters, digits and, within, one of . _ -, up to 128 characters. One that ends
// in .primary is refused, since r1.primary.key is a mark at the wrong place.
func ValidID(id string) bool {
	if id == "" || len(id) > idLenMax || strings.HasSuffix(id, primarySuffix) {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !alphanumeric(c) && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
