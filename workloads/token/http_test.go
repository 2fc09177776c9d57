package token_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/token"
)

// TestOverHTTP rotates the keys of an issuer whose JWKS a verifier fetches.
func TestOverHTTP(t *testing.T) {
	for _, a := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA} {
		ring := issuing(t, a, "r1") // private parts: they must not be published
		jwks, err := token.ServeJWKS(a, time.Minute,
			func() (*keyring.Ring, error) { return ring, nil })
		require.NoError(t, err)
		var asked http.Header
		server := httptest.NewServer(http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				asked = r.Header
				jwks.ServeHTTP(w, r)
			}))
		defer server.Close()
		cache := newCache(t, token.GoOIDC(), token.NewFetcher(server.Client(), server.URL, a))
		s := token.Settings{Algorithm: a}
		v, err := token.NewVerifier(s, cache)
		require.NoError(t, err)
		_, got := verify(t, v, start, sign(t, s, start, "r1"))
		assert.Empty(t, got)
		assert.Equal(t, "no-cache", asked.Get("Cache-Control"))
		_, got = verify(t, v, start, sign(t, s, start, "r2"))
		assert.Equal(t, token.UnknownKid, got)
		ring = issuing(t, a, "r2", "r1")
		_, got = verify(t, v, start, sign(t, s, start, "r2"))
		assert.Empty(t, got)
		assert.Equal(t, token.State{Last: start, Good: start, Fetches: 3}, cache.Status().State)
	}
}

func TestServeJWKS(t *testing.T) {
	ring, down := verifying(t, token.ES256, "r1"), errors.New("down")
	handler, err := token.ServeJWKS(token.ES256, 90*time.Second,
		func() (*keyring.Ring, error) { return ring, down })
	require.NoError(t, err)
	ask := func(method string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody))
		return w
	}
	assert.Equal(t, http.StatusServiceUnavailable, ask(http.MethodGet).Code)
	down = nil
	response := ask(http.MethodGet)
	assert.Equal(t, http.StatusOK, response.Code)
	assert.Equal(t, "application/jwk-set+json", response.Header().Get("Content-Type"))
	assert.Equal(t, "max-age=90", response.Header().Get("Cache-Control"))
	assert.Equal(t, published(t, ring, token.ES256), response.Body.Bytes())
	assert.Equal(t, http.StatusOK, ask(http.MethodHead).Code)
	response = ask(http.MethodPost)
	assert.Equal(t, http.StatusMethodNotAllowed, response.Code)
	assert.Equal(t, "GET, HEAD", response.Header().Get("Allow"))
	ring = ringOf(t, keyring.Public, asymmetric(p384()))
	assert.Equal(t, http.StatusServiceUnavailable, ask(http.MethodGet).Code)
}

func TestFetchErrors(t *testing.T) {
	document := string(jwks(jwkOf(t, public(token.ES256), "r1", "", "")))
	status, body := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	address := strings.Replace(server.URL, "//", "//someone:password@", 1) + "/?key=password"
	fetch := token.NewFetcher(nil, address, token.ES256)
	for _, row := range []struct {
		status int
		body   string
		want   token.Problem
	}{
		{http.StatusOK, document, ""},
		{http.StatusInternalServerError, document, token.Unfetched},
		{http.StatusNonAuthoritativeInfo, document, token.Unfetched},
		{http.StatusOK, "", token.Malformed},
		{http.StatusOK, document[:90], token.Malformed},
		{http.StatusOK, document + strings.Repeat(" ", token.MaxSetBytes), token.TooLarge},
		{0, "", token.Unfetched},
	} {
		status, body = row.status, row.body
		if row.status == 0 {
			server.Close()
		}
		set, err := fetch(t.Context())
		if row.want == "" {
			require.NoError(t, err)
			assert.Equal(t, []string{"r1"}, set.Kids())
			continue
		}
		got, ok := errors.AsType[*token.SetError](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, row.want, got.Problem)
		assert.NotContains(t, err.Error(), "password")
	}
	for _, bad := range []string{"http://password\x7f/", "http://someone:password/"} {
		_, err := token.NewFetcher(nil, bad, token.ES256)(t.Context())
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "password")
	}
}
