package peer

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
)

// lookEvery is how often the volume is looked at beside the watch: a watch may be refused, for want
// of inotify instances on a node, and events may be lost.
const lookEvery = time.Second

// volume keeps an eye on the mount without touching the credential's cache: it notices every swap
// of ..data, and tells of content that was swapped away before the process read it.
type volume struct {
	config *Config
	clock  *clock
	rows   *rows
	log    *slog.Logger
	mount  fs.FS

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

func newVolume(c *Config, clk *clock, r *rows, log *slog.Logger) *volume {
	return &volume{config: c, clock: clk, rows: r, log: log, mount: os.DirFS(c.Mount)}
}

// begin takes the volume as it is now. What a process of this pod has read already, the one before
// this as a rule, is not news.
func (v *volume) begin(known func(version string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = projection{version: target(v.mount)}
	if v.current.version != "" && !known(v.current.version) {
		v.current = v.see(v.current.version)
	}
}

// swap reports whether ..data was swapped since it was looked at last.
func (v *volume) swap() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	version := target(v.mount)
	if version == v.current.version || version == "" {
		return false
	}
	v.note()
	v.current = v.see(version)
	return true
}

// see reads the names of a version's certificates from its own folder.
func (v *volume) see(version string) projection {
	p := projection{version: version, at: v.clock.offset(), unread: version != v.read}
	if since := swapped(v.mount); !since.IsZero() {
		p.at = min(v.clock.at(since), p.at)
	}
	names := fileNames(v.config.Read.Files)
	files := map[string][]byte{}
	for _, name := range []string{names.CA, names.Cert, names.Key} {
		if data, err := fs.ReadFile(v.mount, path.Join(version, name)); err == nil {
			files[name] = data
		}
	}
	// A projection is of the whole file, however much of it the process would trust.
	p.own = look(files, credential.Settings{
		Files: v.config.Read.Files, Trust: credential.Bundle,
	}).own
	return p
}

// reads takes note that the process opens the first file of a version. What it makes of it is told
// by a Reload row.
func (v *volume) reads(version string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read = version
	if version == v.current.version {
		v.current.unread = false
	}
}

// lastRead returns the version that the process began to read last.
func (v *volume) lastRead() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read
}

// end tells of content that nobody read, if told to, and stops telling.
func (v *volume) end(tell bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if tell {
		v.note()
	}
	v.over = true
}

// note writes the Project row of the current content if it is unread. The caller holds the lock.
func (v *volume) note() {
	if !v.current.unread || v.over {
		return
	}
	v.current.unread = false
	own := v.current.own
	v.rows.tell(Row{Span: record.Span{
		Kind: record.Project, Source: v.config.Pod, Outcome: record.OK,
		From: v.current.at, To: v.current.at, Projected: v.current.at, Own: &own,
	}})
}

// watch calls changed after each swap until ctx is done.
func (v *volume) watch(ctx context.Context, changed func()) {
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
func (v *volume) events() (events <-chan fsnotify.Event, stop func()) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		v.log.Warn("no watch on the mount: looking at it instead", "every", lookEvery, "error", err)
		return nil, func() {}
	}
	if err := watcher.Add(v.config.Mount); err != nil {
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
