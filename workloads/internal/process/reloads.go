package process

import (
	"sync/atomic"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// Reloads tells of reads of the mount, by Reload rows. It is for one reader at a time.
type Reloads struct {
	kit  *Kit
	told told

	// used names what was read last without a problem, by this process or the one before it. Who
	// only reads it need not wait for a read of files.
	used atomic.Pointer[record.Generation]
}

// Reading is what one read of the mount saw.
type Reading struct {
	Own     record.Generation
	Failed  bool
	Problem string    // why it failed, of a closed set
	Version string    // of the volume
	Since   time.Time // when that version was swapped in; zero without ..data
	Mixed   bool      // files of two versions were read

	NotBefore, NotAfter time.Duration // of a leaf
}

// told is what the last Reload row said.
type told struct {
	own     record.Generation
	problem string
	version string // of the volume
	ever    bool
}

// Own returns what the last row named.
func (r *Reloads) Own() record.Generation { return r.told.own }

// resume takes note of what is in use, such as by the process before this one.
func (r *Reloads) resume(used record.Generation) { r.used.Store(&used) }

// lastUsed names what was read last without a problem; it is zero if nothing was.
func (r *Reloads) lastUsed() record.Generation {
	if used := r.used.Load(); used != nil {
		return *used
	}
	return record.Generation{}
}

// Tell tells of a read that saw other files or ended otherwise than the one told last. Other files
// may have the same content to this reader, such as a bundle of which it trusts the first CA alone.
// At the beginning of a process that pretends to have run for long, it is of offset 0.
func (r *Reloads) Tell(read Reading, beginning bool) {
	now := told{own: read.Own, problem: read.Problem, version: read.Version, ever: true}
	if now == r.told {
		return
	}
	news := now.own != r.lastUsed() || r.told.ever && now.version != r.told.version
	r.told = now
	if !read.Failed && !read.Mixed {
		r.resume(now.own)
	}
	row := record.Span{
		Kind: record.Reload, Source: r.kit.Settings.Pod, Outcome: record.OK,
		Detail: read.Problem, Own: &now.own, NotBefore: read.NotBefore, NotAfter: read.NotAfter,
	}
	if read.Failed {
		row.Outcome = record.NoCredential
	}
	if !beginning {
		row.To = r.kit.Clock.Offset()
		row.Projected = r.projected(read, row.To, news)
		row.From = row.Projected
	}
	r.kit.Rows.Tell(Row{Span: row})
}

// projected returns when the kubelet swapped in what was read. A mixture of two versions never was,
// and what was in use already, as before a restart, is no news: their rows have no extent.
func (r *Reloads) projected(read Reading, now time.Duration, news bool) time.Duration {
	if !news || read.Mixed || read.Since.IsZero() {
		return now
	}
	return min(r.kit.Clock.At(read.Since), now)
}
