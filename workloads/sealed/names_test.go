package sealed_test

import "io/fs"

// anyNames is a folder with names that a file system would not have, each of a file of one byte.
type anyNames []string

func (a anyNames) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
}

func (a anyNames) ReadFile(string) ([]byte, error) { return []byte("x"), nil }

func (a anyNames) ReadDir(string) ([]fs.DirEntry, error) {
	entries := make([]fs.DirEntry, len(a))
	for i, name := range a {
		entries[i] = entry(name)
	}
	return entries, nil
}

type entry string

func (e entry) Name() string               { return string(e) }
func (e entry) IsDir() bool                { return false }
func (e entry) Type() fs.FileMode          { return 0 }
func (e entry) Info() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
