package rotator

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorization "k8s.io/api/authorization/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
)

// front is as much of an API server as an operator asks before it begins.
type front struct {
	status int      // of the answer about RotatingSecrets
	kind   string   // what there is instead
	denied []string // requests in words
	mute   bool     // it tells nobody what they may do
}

// ServeHTTP implements http.Handler.
func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/apis/certquake.dev/v1alpha1":
		if f.status != http.StatusOK {
			refuse(w, f.status)
			return
		}
		_ = json.NewEncoder(w).Encode(meta.APIResourceList{
			TypeMeta:     meta.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"},
			GroupVersion: api.GroupVersion().String(),
			APIResources: []meta.APIResource{{Name: "x", Kind: f.kind}},
		})
	case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		if f.mute {
			refuse(w, http.StatusForbidden)
			return
		}
		review := &authorization.SelfSubjectAccessReview{}
		_ = json.NewDecoder(r.Body).Decode(review)
		words := access.Wording(*review.Spec.ResourceAttributes)
		review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
		review.Status.Allowed = !slices.Contains(f.denied, words)
		_ = json.NewEncoder(w).Encode(review)
	default:
		http.NotFound(w, r)
	}
}

// refuse answers as API servers refuse.
func refuse(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(meta.Status{
		TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   meta.StatusFailure, Code: int32(status),
		Reason: map[int]meta.StatusReason{
			http.StatusUnauthorized: meta.StatusReasonUnauthorized,
			http.StatusForbidden:    meta.StatusReasonForbidden,
			http.StatusNotFound:     meta.StatusReasonNotFound,
		}[status],
	})
}

// reach says how to reach a server that speaks JSON only.
func reach(server *httptest.Server) *rest.Config {
	return &rest.Config{
		Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON},
	}
}

// What keeps an operator from its work it says at once, with what to do about it.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		front front
		is    error
		want  string
	}{
		"no definition": {
			front{status: http.StatusNotFound},
			ErrNotInstalled,
			"rotate secrets: the cluster has no RotatingSecrets of certquake.dev/v1alpha1: " +
				"install them by `certquake rotator crd | kubectl apply -f -`",
		},
		"another definition": {
			front{status: http.StatusOK, kind: "Other"}, ErrNotInstalled, "certquake rotator crd",
		},
		"unknown": {
			front{status: http.StatusUnauthorized}, nil, "does not know the account",
		},
		"not well": {
			front{status: http.StatusInternalServerError}, nil, "refuses",
		},
		"no rights": {
			front{status: http.StatusOK, kind: api.Kind, denied: []string{
				"update leases.coordination.k8s.io certquake-rotator in namespace ops",
				"list pods in namespace b",
			}},
			ErrForbidden,
			"rotate secrets: the account may not do what the operator does: update " +
				"leases.coordination.k8s.io certquake-rotator in namespace ops, list pods in " +
				"namespace b; `certquake rotator rbac --namespace ops --watch a --watch b | " +
				"kubectl apply -f -` makes an account that may",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(row.front)
			defer server.Close()
			err := Run(t.Context(), reach(server),
				Options{LeaseNamespace: "ops", Namespaces: []string{"a", "b"}})
			require.ErrorContains(t, err, row.want)
			if row.is != nil {
				require.ErrorIs(t, err, row.is)
			}
		})
	}
}

// Without namespaces it is all of them that an account must be allowed.
func TestCheckEverywhere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(front{
		status: http.StatusOK, kind: api.Kind, denied: []string{"get secrets"},
	})
	defer server.Close()
	err := Run(t.Context(), reach(server), Options{NoLeaderElection: true})
	require.ErrorIs(t, err, ErrForbidden)
	require.ErrorContains(t, err, "get secrets, in all namespaces unless one is named; "+
		"`certquake rotator rbac --namespace NAMESPACE |")
}

// An account that may not ask what it may do is not kept from doing it.
func TestCheckUntold(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(front{status: http.StatusOK, kind: api.Kind, mute: true})
	defer server.Close()
	require.NoError(t, (&Options{NoLeaderElection: true}).check(t.Context(), reach(server)))
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(front{})
	server.Close()
	config := reach(server)
	err := Run(t.Context(), config, Options{NoLeaderElection: true})
	require.ErrorContains(t, err, "cannot be reached")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = Run(ctx, config, Options{NoLeaderElection: true})
	require.ErrorIs(t, err, context.Canceled, "an interrupt is none of the cluster's faults")
}

// An address that somebody else has is named, whatever the libraries were doing with it.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	var listener net.ListenConfig
	taken, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	_, err = listener.Listen(t.Context(), "tcp", taken.Addr().String())
	err = listening(fmt.Errorf("reach the cluster: %w", err))
	require.ErrorContains(t, err, "serve metrics and health: listen tcp "+taken.Addr().String())
	require.ErrorContains(t, err, "choose another --metrics-address or --health-address")
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	require.Error(t, err)
	assert.Equal(t, err, listening(err), "that is of nobody's address here")
	require.NoError(t, listening(nil))
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	o := Options{LeaseNamespace: "Ops", Namespaces: []string{"a/b", "c"}, Poll: time.Millisecond}
	err := o.complete()
	require.ErrorIs(t, err, harness.ErrSettings)
	for _, want := range []string{`"Ops"`, `"a/b"`, "1s at least"} {
		require.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), `"c"`)
	require.ErrorIs(t, (&Options{}).complete(), errLease)
	o = Options{NoLeaderElection: true}
	require.NoError(t, o.complete())
	assert.Equal(t, 15*time.Second, o.Poll)
}

// The log has a line for each step, in words for people, and one for each halt and its end.
func TestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asked30)
	var lines []string
	w.operator.log = funcr.NewJSON(func(line string) {
		var said struct {
			Msg    string `json:"msg"`
			Of     string `json:"rotatingsecret"`
			Reason string `json:"reason"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &said))
		assert.Equal(t, "shop/jwt", said.Of)
		msg, _, _ := strings.Cut(said.Msg, " until ")
		lines = append(lines, said.Reason+": "+msg)
	}, funcr.Options{})
	w.consumer("a", shop)
	w.until(23 * time.Hour)
	w.pods["a"].stick()
	w.until(26 * time.Hour)
	w.pods["a"].read()
	w.until(47 * time.Hour)
	assert.Equal(t, []string{
		"Create: create r1: there is no key",
		"Publish: publish r2: the period is over",
		"UptakeTimedOut: halted: consumers are late for too long; late: a (LacksKey)",
		"Promote: make r2 primary instead of r1: consumers have the new key",
		"HaltEnded: waiting",
		"Retire: remove r1: nobody uses the key",
	}, lines)
}
