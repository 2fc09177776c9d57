package process

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certquake/certquake/harness/record"
)

// dataLink is the link in the mount that the kubelet's AtomicWriter swaps.
const dataLink = "..data"

// lookEvery is how often the volume is looked at beside the watch: a watch may be refused, for want
// of inotify instances on a node, and events may be lost.
const lookEvery = time.Second

// Volume keeps an eye on the mount without touching what the role reads of it: it notices every
// swap of ..data, and tells of content that was swapped away before the process read it.
type Volume struct {
	settings *Settings
	clock    *Clock
	rows     *Rows
	log      *slog.Logger
	mount    fs.FS
	// Names names what a version holds, by its own folder in the mount. The role sets it.
	Names func(mount fs.FS, version string) record.Generation

	mu      sync.Mutex
	current projection
	read    string // the version that the process began to read last
	over    bool   // the run is, and with it all telling
}

// projection is one content of the volume.
type projection struct {
	version string // what ..data points at
	at      time.Duration
	own     record.Generation
	unread  bool // by the process
}

// newVolume returns the volume of a process; without a mount it is one that never changes.
func newVolume(k *Kit) *Volume {
	return &Volume{
		settings: k.Settings, clock: k.Clock, rows: k.Rows, log: k.Log,
		mount: os.DirFS(k.Settings.Mount),
	}
}

// Version returns what ..data points at, "" when there is no such link.
func Version(mount fs.FS) string {
	version, err := fs.ReadLink(mount, dataLink)
	if err != nil {
		return ""
	}
	return version
}

// Swapped returns when ..data was made to point at what it points at, or the zero time when there
// is no such link.
func Swapped(mount fs.FS) time.Time {
	info, err := fs.Lstat(mount, dataLink)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// begin takes the volume as it is now. What a process of this pod has read already, the one before
// this as a rule, is not news.
func (v *Volume) begin(known func(version string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = projection{version: v.version()}
	if v.current.version != "" && !known(v.current.version) {
		v.current = v.see(v.current.version)
	}
}

func (v *Volume) version() string {
	if v.settings.Mount == "" {
		return ""
	}
	return Version(v.mount)
}

// swap reports whether ..data was swapped since it was looked at last.
func (v *Volume) swap() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	version := v.version()
	if version == v.current.version || version == "" {
		return false
	}
	v.note()
	v.current = v.see(version)
	return true
}

// see reads the names of what a version holds from its own folder.
func (v *Volume) see(version string) projection {
	p := projection{version: version, at: v.clock.Offset(), unread: version != v.read}
	if since := Swapped(v.mount); !since.IsZero() {
		p.at = min(v.clock.At(since), p.at)
	}
	p.own = v.Names(v.mount, version)
	return p
}

// Reads takes note that the process opens the first file of a version. What it makes of it is told
// by a Reload row.
func (v *Volume) Reads(version string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read = version
	if version == v.current.version {
		v.current.unread = false
	}
}

// lastRead returns the version that the process began to read last.
func (v *Volume) lastRead() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read
}

// end tells of content that nobody read, if told to, and stops telling.
func (v *Volume) end(tell bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if tell {
		v.note()
	}
	v.over = true
}

// note writes the Project row of the current content if it is unread. The caller holds the lock.
func (v *Volume) note() {
	if !v.current.unread || v.over {
		return
	}
	v.current.unread = false
	own := v.current.own
	v.rows.Tell(Row{Span: record.Span{
		Kind: record.Project, Source: v.settings.Pod, Outcome: record.OK,
		From: v.current.at, To: v.current.at, Projected: v.current.at, Own: &own,
	}})
}

// Watch calls changed after each swap until ctx is done.
func (v *Volume) Watch(ctx context.Context, changed func()) {
	if v.settings.Mount == "" {
		return
	}
	events, stop := v.events()
	defer stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	if v.swap() {
		changed() // since begin
	}
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-events:
			if !ok {
				events = nil // the slow look goes on
			}
			if filepath.Base(event.Name) != dataLink {
				continue
			}
		case <-ticker.C:
		}
		if v.swap() {
			changed()
		}
	}
}

// events watches the mount: the folder and not the files in it, whose links lead to what a swap
// leaves behind. Without a watch it returns a channel on which nothing comes.
func (v *Volume) events() (events <-chan fsnotify.Event, stop func()) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		v.log.Warn("no watch on the mount: looking at it instead", "every", lookEvery, "error", err)
		return nil, func() {}
	}
	if err := watcher.Add(v.settings.Mount); err != nil {
		v.log.Warn("no watch on the mount: looking at it instead", "every", lookEvery, "error", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for err := range watcher.Errors {
			v.log.Warn("watch on the mount", "error", err) // an overflow: the slow look finds it
		}
	}()
	return watcher.Events, func() {
		_ = watcher.Close()
		<-done
	}
}
