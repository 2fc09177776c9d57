package credential

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// linkHops bounds how many links one path may go through. The volume's own paths need two.
const linkHops = 8

// Volume is a mounted Secret in memory, laid out as the kubelet's AtomicWriter lays it out:
//
//	..2026_11_21_09_00_00.1/tls.crt    the payload of one version
//	..data -> ..2026_11_21_09_00_00.1  the link whose swap is the atomic point
//	tls.crt -> ..data/tls.crt          what the workload opens
//
// Create it with NewVolume. It is safe for concurrent use: an open sees the volume as it was at
// that instant, and two opens may see two versions, as on a disk.
type Volume struct {
	mu   sync.Mutex // held while projecting
	tree atomic.Pointer[tree]
}

// The ways of reading that a Volume has beyond fs.FS.
var (
	_ fs.ReadFileFS = (*Volume)(nil)
	_ fs.ReadLinkFS = (*Volume)(nil)
	_ fs.ReadDirFS  = (*Volume)(nil)
)

// tree maps every path of a volume to its node. A published tree is not changed any more.
type tree map[string]node

// node is a folder, a link or a file's content, as its mode says.
type node struct {
	mode fs.FileMode
	link string
	data []byte
}

// NewVolume returns an empty volume, as the mount of an optional Secret that does not exist.
func NewVolume() *Volume {
	v := &Volume{}
	v.tree.Store(&tree{".": {mode: fs.ModeDir | 0o755}})
	return v
}

// Project makes files the volume's content and reports whether it wrote anything: an equal payload
// is left alone. In AtomicWriter's order it writes the new folder, swaps the ..data link, mends the
// visible links and removes the old folder; a reader may run between any two of these steps.
//
// The folder is called ".." + version, plus a counter if the volume has it already. The version
// must be a single path element and every file name a valid path of package fs: Project panics
// otherwise.
func (v *Volume) Project(version string, files map[string][]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := *v.tree.Load()
	before := old[dataLink].link
	if before != "" && equalPayload(old, before, files) {
		return false
	}
	dir := old.freeName(version)
	v.step(func(t tree) { t.write(dir, files) })
	v.step(func(t tree) { t[dataLink] = node{mode: fs.ModeSymlink | 0o777, link: dir} })
	v.step(func(t tree) { t.showLinks(files) })
	v.step(func(t tree) { t.remove(before) })
	return true
}

// step publishes a changed copy of the tree.
func (v *Volume) step(change func(tree)) {
	next := maps.Clone(*v.tree.Load())
	change(next)
	v.tree.Store(&next)
}

func (t tree) freeName(version string) string {
	dir := ".." + version
	if version == "" || strings.Contains(version, "/") || dir == dataLink {
		panic(fmt.Sprintf("credential: version %q is not a free path element", version))
	}
	for n := 1; t[dir].mode != 0; n++ {
		dir = ".." + version + "." + strconv.Itoa(n)
	}
	return dir
}

func (t tree) write(dir string, files map[string][]byte) {
	t[dir] = node{mode: fs.ModeDir | 0o755}
	for name, data := range files {
		if !fs.ValidPath(name) || strings.HasPrefix(name, "..") || name == "." {
			panic(fmt.Sprintf("credential: %q is not a file name of a Secret", name))
		}
		t[path.Join(dir, name)] = node{mode: 0o644, data: bytes.Clone(data)}
		for up := path.Dir(name); up != "."; up = path.Dir(up) {
			t[path.Join(dir, up)] = node{mode: fs.ModeDir | 0o755}
		}
	}
}

// showLinks creates the visible links of files and removes stale ones.
func (t tree) showLinks(files map[string][]byte) {
	maps.DeleteFunc(t, func(name string, n node) bool {
		return n.mode&fs.ModeSymlink != 0 && name != dataLink
	})
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		t[top] = node{mode: fs.ModeSymlink | 0o777, link: path.Join(dataLink, top)}
	}
}

func (t tree) remove(dir string) {
	maps.DeleteFunc(t, func(name string, _ node) bool {
		return dir != "" && (name == dir || strings.HasPrefix(name, dir+"/"))
	})
}

func equalPayload(t tree, dir string, files map[string][]byte) bool {
	count := 0
	for name, n := range t {
		if !strings.HasPrefix(name, dir+"/") || n.mode.IsDir() {
			continue
		}
		count++
		data, ok := files[strings.TrimPrefix(name, dir+"/")]
		if !ok || !bytes.Equal(data, n.data) {
			return false
		}
	}
	return count == len(files)
}

// children returns the names of a folder's entries, sorted.
func (t tree) children(dir string) []string {
	var names []string
	for name := range t {
		if name != "." && path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names
}
