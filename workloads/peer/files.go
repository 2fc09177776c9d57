package peer

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/internal/process"
)

// fileNames returns the names of a credential's files, as package credential understands them.
func fileNames(f credential.Files) credential.Files {
	return credential.Files{
		CA:   cmp.Or(f.CA, "ca.crt"),
		Cert: cmp.Or(f.Cert, "tls.crt"),
		Key:  cmp.Or(f.Key, "tls.key"),
	}
}

// reading is the mount as credential.Read sees it. It remembers what the last read saw, so that a
// row can tell it even when no credential came of it, and waits between two files as Config.ReadGap
// says. It is for one reader at a time.
type reading struct {
	fs.FS
	names credential.Files
	gap   time.Duration
	ctx   context.Context //nolint:containedctx // fs.FS has no way to pass it; it ends the waits
	began func(version string)

	opened  bool              // there was a read since forget
	version string            // of the volume, as the first file was opened
	since   time.Time         // when that version was swapped in; zero without ..data
	mixed   bool              // files of two versions were read
	seen    map[string][]byte // by name
}

var (
	_ fs.ReadFileFS = (*reading)(nil)
	_ fs.ReadLinkFS = (*reading)(nil)
)

func (r *reading) forget() { r.opened, r.mixed, r.seen = false, false, nil }

// ReadFile is one of the three opens. A pinned read names the folder of the version itself, and
// begins again with the first file when that folder is gone.
func (r *reading) ReadFile(name string) ([]byte, error) {
	dir, name := r.split(name)
	first := name == r.names.CA
	if !first && r.gap > 0 {
		process.Wait(r.ctx, r.gap)
	}
	version := cmp.Or(dir, process.Version(r.FS))
	if first {
		r.forget()
		r.opened, r.version, r.seen = true, version, map[string][]byte{}
		r.since = process.Swapped(r.FS)
		r.began(version)
	}
	r.mixed = r.mixed || version != r.version
	data, err := fs.ReadFile(r.FS, path.Join(dir, name))
	if err == nil {
		r.seen[name] = data
	}
	return data, err
}

// rest returns everything that the version read from has: a read ends at the first file that is no
// good, and what it did not come to is read now, for its name alone.
func (r *reading) rest() map[string][]byte {
	files := maps.Clone(r.seen)
	for _, name := range []string{r.names.CA, r.names.Cert, r.names.Key} {
		if _, ok := files[name]; ok {
			continue
		}
		if data, err := fs.ReadFile(r.FS, path.Join(r.version, name)); err == nil {
			files[name] = data
		}
	}
	return files
}

// split takes the folder of a version off a path.
func (r *reading) split(name string) (dir, rest string) {
	if head, tail, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(head, "..") {
		return head, tail
	}
	return "", name
}

// ReadLink returns what a link points at.
func (r *reading) ReadLink(name string) (string, error) { return fs.ReadLink(r.FS, name) }

// Lstat describes a link itself.
func (r *reading) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(r.FS, name) }

// glimpse is what could be told of a credential's files.
type glimpse struct {
	own  record.Generation
	leaf *x509.Certificate // nil when not even that could be read
}

// look names what is in files, of which any may be missing or broken. The way the workload reads
// them says how many CAs it would trust.
func look(files map[string][]byte, s credential.Settings) glimpse {
	volume := credential.NewVolume()
	volume.Project("seen", files)
	s.PairCheck = credential.NoCheck
	if m, err := credential.Read(volume, s); err == nil {
		return glimpse{own: generation(m), leaf: m.Leaf}
	}
	names := fileNames(s.Files)
	cas, leafs := certificates(files[names.CA]), certificates(files[names.Cert])
	if s.Trust != credential.Bundle {
		cas = cas[:min(1, len(cas))]
	}
	g := glimpse{own: record.Generation{Trust: trust(cas)}}
	if len(leafs) > 0 {
		g.leaf, g.own.Leaf = leafs[0], Fingerprint(leafs[0])
	}
	return g
}

// projected names what a version of the volume holds, by its own folder: all of it, however much
// of it the process would trust.
func projected(names credential.Files) func(mount fs.FS, version string) record.Generation {
	return func(mount fs.FS, version string) record.Generation {
		files := map[string][]byte{}
		full := fileNames(names)
		for _, name := range []string{full.CA, full.Cert, full.Key} {
			if data, err := fs.ReadFile(mount, path.Join(version, name)); err == nil {
				files[name] = data
			}
		}
		return look(files, credential.Settings{Files: names, Trust: credential.Bundle}).own
	}
}

// generation names what a credential holds. Chain stays empty: who issued a leaf is for the harness
// to know.
func generation(m *credential.Material) record.Generation {
	return record.Generation{Leaf: Fingerprint(m.Leaf), Trust: trust(m.CAs), Torn: m.Torn}
}

func trust(cas []*x509.Certificate) string {
	names := make([]string, len(cas))
	for i, ca := range cas {
		names[i] = Fingerprint(ca)
	}
	return strings.Join(names, "+")
}

// certificates returns those of a PEM file that can be read, up to the first that cannot.
func certificates(data []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return certs
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return certs
		}
		certs, data = append(certs, cert), rest
	}
}
