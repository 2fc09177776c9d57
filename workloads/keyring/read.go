package keyring

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path"
)

// dataLink is the link that the kubelet's AtomicWriter swaps.
const dataLink = "..data"

// readTries bounds how often a read starts over because the volume was swapped. A kubelet swaps a
// volume once a minute at most.
const readTries = 5

// Read reads the keys of a folder once. Failures are *ReadError. It heeds Parts and Check alone.
//
// All files are of one projection: Read resolves the ..data link and stays in the folder it points
// at. If the link points elsewhere afterwards, it starts over, however the read ended: the old
// folder is removed file by file, and a list of what is left of it may look like a good one. A
// folder without the link, or on a file system that has no links, is read as it is.
func Read(fsys fs.FS, s Settings) (*Ring, error) {
	s = s.orDefault()
	target := dataTarget(fsys)
	for range readTries {
		ring, err := readFolder(fsys, target, s)
		now := dataTarget(fsys)
		if now == target {
			return ring, err
		}
		target = now
	}
	return nil, &ReadError{File: dataLink, Problem: Unreadable, Err: errMoving}
}

// dataTarget returns what ..data points at, or "" when there is no such link or it leads outside
// the volume. A link that cannot be read counts as none: the opens that follow tell more.
func dataTarget(fsys fs.FS) string {
	target, err := fs.ReadLink(fsys, dataLink)
	if err != nil || !fs.ValidPath(target) {
		return ""
	}
	return target
}

func readFolder(fsys fs.FS, dir string, s Settings) (*Ring, error) {
	entries, err := fs.ReadDir(fsys, cmp.Or(dir, "."))
	if err != nil {
		return nil, opening(err, ".", "")
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	l, err := list(names, s.Parts)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]Key, len(l.ids))
	for _, id := range l.ids {
		m, readErr := readKey(fsys, dir, id, l.files[id], s.Parts)
		if readErr != nil {
			return nil, readErr
		}
		keys[id] = Key{ID: id, secret: func() *material { return m }}
		if refused := s.Check(keys[id]); refused != nil {
			return nil, &ReadError{File: m.file, ID: id, Problem: BadKey, Err: refused}
		}
	}
	return newRing(l, keys, dir), nil
}

func readKey(
	fsys fs.FS, dir, id string, files map[Part]string, parts []Part,
) (*material, error) {
	m := &material{file: files[parts[0]], raw: make(map[Part][]byte, len(parts))}
	for _, part := range parts {
		name := files[part]
		data, err := fs.ReadFile(fsys, path.Join(dir, name))
		if err != nil {
			return nil, opening(err, name, id)
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return nil, &ReadError{File: name, ID: id, Problem: Empty, Err: errBlank}
		}
		if err := m.add(part, data); err != nil {
			return nil, &ReadError{File: name, ID: id, Problem: BadKey, Err: err}
		}
	}
	return m, nil
}

// opening classifies why a file or the folder could not be opened or read.
func opening(err error, name, id string) error {
	problem := Unreadable
	if errors.Is(err, fs.ErrNotExist) {
		problem = Missing
	}
	return &ReadError{File: name, ID: id, Problem: problem, Err: err}
}
