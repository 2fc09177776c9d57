package credential

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

var errLinkLoop = errors.New("too many levels of symbolic links")

// Open opens a file or folder, following links.
func (v *Volume) Open(name string) (fs.File, error) {
	t := *v.tree.Load()
	place, n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	info := nodeInfo{name: path.Base(name), node: n}
	if n.mode.IsDir() {
		return &openDir{info: info, entries: t.entries(place)}, nil
	}
	return &openFile{info: info, Reader: bytes.NewReader(n.data)}, nil
}

// ReadFile returns a copy of a file's content, following links.
func (v *Volume) ReadFile(name string) ([]byte, error) {
	_, n, err := (*v.tree.Load()).find("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	return append([]byte{}, n.data...), nil
}

// ReadDir returns a folder's entries, sorted by name.
func (v *Volume) ReadDir(name string) ([]fs.DirEntry, error) {
	t := *v.tree.Load()
	place, n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	return t.entries(place), nil
}

// ReadLink returns what a link points at, as written.
func (v *Volume) ReadLink(name string) (string, error) {
	_, n, err := (*v.tree.Load()).find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.link, nil
}

// Lstat describes a path without following a link at its end.
func (v *Volume) Lstat(name string) (fs.FileInfo, error) {
	_, n, err := (*v.tree.Load()).find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return nodeInfo{name: path.Base(name), node: n}, nil
}

// find returns the node at a path and its name without links.
func (t tree) find(op, name string, follow bool) (string, node, error) {
	if !fs.ValidPath(name) {
		return "", node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	place, err := t.resolve(name, follow)
	if err != nil {
		return "", node{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return place, t[place], nil
}

// resolve walks a path element by element. Links are relative to the folder they are in.
func (t tree) resolve(name string, follow bool) (string, error) {
	at, rest, hops := ".", name, 0
	for rest != "" {
		var head string
		head, rest, _ = strings.Cut(rest, "/")
		next := path.Join(at, head)
		n, ok := t[next]
		switch {
		case !ok:
			return "", fs.ErrNotExist
		case n.mode&fs.ModeSymlink != 0 && (rest != "" || follow):
			if hops++; hops > linkHops {
				return "", errLinkLoop
			}
			rest = strings.TrimSuffix(n.link+"/"+rest, "/")
		default:
			at = next
		}
	}
	return at, nil
}

func (t tree) entries(dir string) []fs.DirEntry {
	names := t.children(dir)
	entries := make([]fs.DirEntry, len(names))
	for i, name := range names {
		entries[i] = fs.FileInfoToDirEntry(nodeInfo{name: name, node: t[path.Join(dir, name)]})
	}
	return entries
}

// nodeInfo describes a node. Its time is always zero: nothing here knows a clock.
type nodeInfo struct {
	name string
	node node
}

func (i nodeInfo) Name() string       { return i.name }
func (i nodeInfo) Size() int64        { return int64(len(i.node.data)) }
func (i nodeInfo) Mode() fs.FileMode  { return i.node.mode }
func (i nodeInfo) ModTime() time.Time { return time.Time{} }
func (i nodeInfo) IsDir() bool        { return i.node.mode.IsDir() }
func (i nodeInfo) Sys() any           { return nil }

type openFile struct {
	*bytes.Reader
	info nodeInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info    nodeInfo
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: fs.ErrInvalid}
}

// ReadDir follows the contract of fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	head := d.entries[:n]
	d.entries = d.entries[n:]
	return head, nil
}
