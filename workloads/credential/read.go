package credential

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"io/fs"
	"path"
)

// dataLink is the link that the kubelet's AtomicWriter swaps.
const dataLink = "..data"

// pinnedTries bounds how often a pinned read starts over because its folder vanished. Two swaps
// within the microseconds of one read would be needed to fail even twice.
const pinnedTries = 5

// Read reads a credential from a mounted volume. Failures are *ReadError.
//
// Not pinned, it opens ca.crt, tls.crt and tls.key in Akka's order through their visible names, so
// a swap in between gives files of two versions. Pinned, it resolves the ..data link once and opens
// all three inside its target; if that folder is removed meanwhile, it starts over in the new one.
// In a folder without a ..data link both ways are the same.
func Read(fsys fs.FS, s Settings) (*Material, error) {
	if s.Pinned {
		return readPinned(fsys, s)
	}
	return read(fsys, "", dataTarget(fsys), s)
}

func readPinned(fsys fs.FS, s Settings) (*Material, error) {
	var material *Material
	target, err := dataTarget(fsys), error(nil)
	for range pinnedTries {
		material, err = read(fsys, target, target, s)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		now := dataTarget(fsys)
		if now == target {
			break // nothing was swapped: the file is really missing
		}
		target = now
	}
	return material, err
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

func read(fsys fs.FS, dir, version string, s Settings) (*Material, error) {
	files := s.Files.orDefault()
	cas, err := readCerts(fsys, dir, files.CA, s.Trust == Bundle)
	if err != nil {
		return nil, err
	}
	certs, err := readCerts(fsys, dir, files.Cert, s.Chain == WholeFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(fsys, dir, files.Key)
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	torn := !pair(leaf, key)
	if torn && s.PairCheck == MatchCheck {
		return nil, &ReadError{File: files.Key, Problem: PairMismatch, Err: errTorn}
	}
	return &Material{
		Leaf: leaf, Chain: chain(certs, cas, s), Key: key, CAs: cas, Torn: torn, Version: version,
	}, nil
}

func readCerts(fsys fs.FS, dir, name string, all bool) ([]*x509.Certificate, error) {
	data, err := readFile(fsys, dir, name)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(data, all)
	if err != nil {
		return nil, &ReadError{File: name, Problem: Malformed, Err: err}
	}
	return certs, nil
}

func readKey(fsys fs.FS, dir, name string) (crypto.Signer, error) {
	data, err := readFile(fsys, dir, name)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, &ReadError{File: name, Problem: Malformed, Err: err}
	}
	return key, nil
}

func readFile(fsys fs.FS, dir, name string) ([]byte, error) {
	data, err := fs.ReadFile(fsys, path.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &ReadError{File: name, Problem: Missing, Err: err}
	case err != nil:
		return nil, &ReadError{File: name, Problem: Unreadable, Err: err}
	case len(bytes.TrimSpace(data)) == 0:
		return nil, &ReadError{File: name, Problem: Empty, Err: errNoBlock}
	}
	return data, nil
}

// pair reports whether key is the leaf's.
func pair(leaf *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(x crypto.PublicKey) bool })
	return ok && public.Equal(leaf.PublicKey)
}

// chain returns the certificates to send, as Chain says.
func chain(certs, cas []*x509.Certificate, s Settings) []*x509.Certificate {
	if s.Chain == WholeFile {
		return certs
	}
	leaf := certs[0]
	if s.Trust != Bundle {
		return []*x509.Certificate{leaf, cas[0]}
	}
	for _, ca := range cas {
		if signed(ca, leaf) {
			return []*x509.Certificate{leaf, ca}
		}
	}
	return []*x509.Certificate{leaf}
}

// signed reports whether the signature on leaf is the CA's. Names and key usages do not count, as
// they do not in Java's Certificate.verify.
func signed(ca, leaf *x509.Certificate) bool {
	err := ca.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature)
	return err == nil
}
