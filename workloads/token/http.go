package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/certquake/certquake/workloads/keyring"
)

// FetchTimeout is how long a Fetcher of NewFetcher takes at most.
const FetchTimeout = 10 * time.Second

// NewFetcher returns a Fetcher of the JWKS at an address; a nil client is http.DefaultClient. It
// tells caches on the way that it wants the document of now, because what they keep would come on
// top of what a Cache keeps. Its errors are *SetError and do not name the address, which may hold a
// password.
func NewFetcher(client *http.Client, address string, a Algorithm) Fetcher {
	return func(ctx context.Context) (*Set, error) {
		document, err := get(ctx, client, address)
		if err != nil {
			return nil, &SetError{Problem: Unfetched, Err: err}
		}
		return ParseSet(document, a)
	}
}

func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, errAddress
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("Cache-Control", "no-cache")
	response, err := cmp.Or(client, http.DefaultClient).Do(request)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return nil, wrapped.Err
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	return io.ReadAll(io.LimitReader(response.Body, MaxSetBytes+1)) // ParseSet sees it is too large
}

// ServeJWKS returns a handler that publishes the public keys of the ring that the source returns at
// each request; maxAge is how long it allows caches to keep them. While there is no ring it answers
// 503. The ring may have private parts: they are not published. A symmetric algorithm is refused.
func ServeJWKS(
	a Algorithm, maxAge time.Duration, ring func() (*keyring.Ring, error),
) (http.Handler, error) {
	if !a.known() {
		return nil, &SetError{Problem: UnknownAlgorithm, Err: errAlgorithm}
	}
	if a.Symmetric() {
		return nil, &SetError{Problem: Secret, Err: errSecret}
	}
	s := &server{
		keys: NewRingKeys(a, ring), caching: fmt.Sprintf("max-age=%d", int(maxAge.Seconds())),
	}
	if maxAge <= 0 {
		s.caching = "no-cache"
	}
	return s, nil
}

type server struct {
	keys    *RingKeys
	caching string
	last    atomic.Pointer[published]
}

type published struct {
	set      *Set
	document []byte
	err      error
}

// ServeHTTP answers GET and HEAD.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "want GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	document, err := s.document(r.Context())
	if err != nil {
		http.Error(w, "no keys to publish", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", s.caching)
	_, _ = w.Write(document) // whoever asked went away
}

// document returns the JWKS of the ring of now. It is written once per set.
func (s *server) document(ctx context.Context) ([]byte, error) {
	set, err := s.keys.Set(ctx, time.Time{}, "")
	if err != nil {
		return nil, err
	}
	last := s.last.Load()
	if last == nil || last.set != set {
		document, writeErr := set.JWKS()
		last = &published{set: set, document: document, err: writeErr}
		s.last.Store(last)
	}
	return last.document, last.err
}
