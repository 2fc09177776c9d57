package bearer

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/request"
)

// rings is the mounted key ring that the process holds, and the Reload rows. All demands go through
// one lock, so a row is told of the read that was.
type rings struct {
	config  *Config
	kit     *process.Kit
	metrics *metrics
	files   *reading

	mu    sync.Mutex
	keys  *keyring.Keyring
	now   time.Time // of the demand under way
	shown *keyring.Ring
	holds record.Generation
}

// newRings reads nothing yet.
func newRings(c *Config, kit *process.Kit, m *metrics) *rings {
	r := &rings{
		config: c, kit: kit, metrics: m,
		files: &reading{FS: os.DirFS(c.Mount), began: kit.Volume.Reads},
	}
	settings := request.KeyringSettings(c.Token.Algorithm, c.Role == Issuer, c.KeyringTTL)
	settings.Now = func() time.Time { return r.now }
	r.keys = keyring.New(r.files, settings)
	kit.Volume.Names = func(mount fs.FS, version string) record.Generation {
		entries, err := fs.ReadDir(mount, version)
		if err != nil {
			return record.Generation{}
		}
		names := make([]string, len(entries))
		for i, entry := range entries {
			names[i] = entry.Name()
		}
		return request.NamesIn(names).Generation(c.Secret)
	}
	return r
}

// begin reads the ring as one that a process has had for CacheAge at offset 0.
func (r *rings) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.ask(0, true) // its error is in the row and comes again on demand
}

// demand returns the ring to use now. It blocks while the files are read.
func (r *rings) demand() (*keyring.Ring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ask(r.kit.Clock.Offset()+r.config.CacheAge, false)
}

// ask has the keyring decide, and tells of the read if it made one. The keyring's clock counts from
// CacheAge before offset 0, and is none that anybody sets. The caller holds the lock.
func (r *rings) ask(at time.Duration, beginning bool) (*keyring.Ring, error) {
	r.now = time.Unix(0, 0).Add(at)
	r.files.opened = false
	ring, err := r.keys.Ring()
	if r.files.opened {
		r.took(r.keys.Status(), beginning)
	}
	return ring, err
}

// took tells of a read. The caller holds the lock.
func (r *rings) took(status keyring.Status, beginning bool) {
	read := process.Reading{
		Failed: status.Err != nil, Version: r.files.version, Since: r.files.since,
	}
	outcome := record.OK
	if failed, ok := errors.AsType[*keyring.ReadError](status.Err); ok {
		outcome, read.Problem = record.NoCredential, string(failed.Problem)
	}
	r.metrics.reloads.WithLabelValues(string(outcome)).Inc()
	if ring := status.Ring; ring != nil && ring != r.shown {
		if names := request.NamesOf(ring).Generation(r.config.Secret); names != r.holds {
			r.holds = names
			r.metrics.inUse(ring, r.config.Secret)
		}
		r.shown = ring
	}
	read.Own = r.holds
	r.kit.Reloads.Tell(read, beginning)
}

// held names the ring in use; it is zero before there is one.
func (r *rings) held() record.Generation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holds
}

// reading is the mount as keyring.Read sees it. It remembers which version was read last.
type reading struct {
	fs.FS
	began func(version string)

	opened  bool      // there was a read since this was reset
	version string    // of the volume
	since   time.Time // when that version was swapped in; zero without ..data
}

var (
	_ fs.ReadDirFS  = (*reading)(nil)
	_ fs.ReadFileFS = (*reading)(nil)
	_ fs.ReadLinkFS = (*reading)(nil)
)

// ReadDir is how a read begins, or begins anew, in the folder of a version.
func (r *reading) ReadDir(name string) ([]fs.DirEntry, error) {
	r.opened, r.version, r.since = true, name, process.Swapped(r.FS)
	r.began(name)
	return fs.ReadDir(r.FS, name)
}

// ReadFile returns what a file holds.
func (r *reading) ReadFile(name string) ([]byte, error) { return fs.ReadFile(r.FS, name) }

// ReadLink returns what a link points at.
func (r *reading) ReadLink(name string) (string, error) { return fs.ReadLink(r.FS, name) }

// Lstat describes a link itself.
func (r *reading) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(r.FS, name) }
