package bearer

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/request"
	"github.com/certquake/certquake/workloads/token"
)

// scheme is how a token is presented (RFC 6750).
const scheme = "Bearer "

// server is a verifier as callers see it.
type server struct {
	deadline time.Duration
	kit      *process.Kit
	metrics  *metrics
	verifier *token.Verifier
	held     func() record.Generation
}

// ServeHTTP answers 204 to a call with a good token, and 401 with the outcome and the keys that it
// has to any other.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.deadline)
	defer cancel()
	presented, _ := strings.CutPrefix(r.Header.Get("Authorization"), scheme)
	_, _, err := s.verifier.Verify(ctx, s.kit.Clock.Now(), presented)
	outcome, _ := request.Judge(err)
	s.metrics.request(record.Server, outcome)
	tellGeneration(w.Header(), s.held())
	if outcome == record.OK {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("WWW-Authenticate", strings.TrimSpace(scheme))
	w.Header().Set(headerOutcome, string(outcome))
	w.WriteHeader(http.StatusUnauthorized)
}

// newPublisher returns an issuer as verifiers see it: it publishes public keys, if it has any.
func newPublisher(c *Config, r *rings) (http.Handler, error) {
	mux := http.NewServeMux()
	if c.Token.Algorithm.Symmetric() {
		return mux, nil
	}
	published, err := token.ServeJWKS(c.Token.Algorithm, 0, r.demand)
	if err != nil {
		return nil, fmt.Errorf("publish keys: %w", err)
	}
	mux.HandleFunc(PathKeys, func(w http.ResponseWriter, asked *http.Request) {
		_, _ = r.demand() // what it answers with names the keys that it publishes
		tellGeneration(w.Header(), r.held())
		published.ServeHTTP(w, asked)
	})
	return mux, nil
}
