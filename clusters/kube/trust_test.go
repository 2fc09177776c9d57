package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// secretsAPI is an API server that knows patches and deletions of Secrets, and tells the world of
// them as a watch would.
type secretsAPI struct {
	w *world

	mu      sync.Mutex
	stored  map[string]*corev1.Secret
	version int
	patches int
}

// newTestWorld returns a world on such an API server, with the rig's ledger, at offset 0 now.
func newTestWorld(t *testing.T) (*rig, *world, *secretsAPI) {
	t.Helper()
	r := newRig(t)
	r.begin(time.Now())
	r.sofar()
	r.out = nil
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{
		plan: r.plan, ledger: r.ledger, native: client, ctx: ctx, cancel: cancel, base: r.base,
		target: &clusters.Target{}, seen: make(chan struct{}), skews: map[string]time.Duration{},
		queues: map[int]chan scenarios.Action{}, holding: map[string]bool{}, sink: &r.out,
	}
	w.roster = newRoster(ctx, client, r.ledger)
	api := &secretsAPI{w: w, stored: map[string]*corev1.Secret{}, version: 1}
	for name, s := range r.secrets {
		api.stored[name] = s.current().object
	}
	client.PrependReactor("patch", "secrets", api.patch)
	client.PrependReactor("delete", "secrets", api.remove)
	t.Cleanup(func() {
		cancel()
		w.tasks.Wait()
		w.roster.tasks.Wait()
	})
	return r, w, api
}

// put stores an object and tells of it.
func (a *secretsAPI) put(object *corev1.Secret) {
	a.mu.Lock()
	a.version++
	object = object.DeepCopy()
	object.ResourceVersion = strconv.Itoa(a.version)
	name := object.Namespace + "/" + object.Name
	a.stored[name] = object
	a.mu.Unlock()
	a.w.sawSecret(name, object)
}

func (a *secretsAPI) patch(action clienttesting.Action) (bool, runtime.Object, error) {
	patch := action.(clienttesting.PatchAction)
	name := patch.GetNamespace() + "/" + patch.GetName()
	var body struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Data     map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal(patch.GetPatch(), &body); err != nil {
		return true, nil, err
	}
	a.mu.Lock()
	a.patches++
	held := a.stored[name]
	a.mu.Unlock()
	if held == nil {
		return true, nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	if held.ResourceVersion != body.Metadata.ResourceVersion {
		return true, nil, apierrors.NewConflict(corev1.Resource("secrets"), name, nil)
	}
	held = held.DeepCopy()
	maps.Copy(held.Data, body.Data)
	a.put(held)
	return true, held, nil
}

func (a *secretsAPI) remove(action clienttesting.Action) (bool, runtime.Object, error) {
	deletion := action.(clienttesting.DeleteAction)
	name := deletion.GetNamespace() + "/" + deletion.GetName()
	a.mu.Lock()
	delete(a.stored, name)
	a.mu.Unlock()
	a.w.sawSecret(name, nil)
	return true, nil, nil
}

// trust returns what the leaf's Secret trusts now.
func trustNow(w *world) string {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return w.ledger.secrets[leafSecret].current().held.Trust
}

// proofs returns the proven actions with what was seen.
func proofs(r *rig) []string {
	var all []string
	for _, row := range r.sofar().of(record.Proof) {
		all = append(all, strings.Join([]string{row.Action, row.Source, row.Detail}, ": "))
	}
	return all
}

func publish(id string, hold bool, refs ...scenarios.AuthorityRef) scenarios.Action {
	return scenarios.Action{
		ID: id, Verb: scenarios.PublishTrust, Secrets: []string{leafSecret},
		Authority: "default/root", Trust: refs, Hold: hold,
	}
}

// A careful swap: trust of both CAs is published and held over the issuance in the middle, until
// it is dropped.
func TestPublishTrust(t *testing.T) {
	t.Parallel()
	r, w, api := newTestWorld(t)
	root2 := mint(t, nil, "root", true)
	api.put(stored(t, rootSecret, root2, root2))
	add := publish("swap/add-trust", true, scenarios.Previous, scenarios.Current)
	require.NoError(t, w.perform(t.Context(), add))
	assert.Equal(t, "root/1+root/2", trustNow(w))

	api.put(stored(t, leafSecret, mint(t, root2, "a.example", false), root2))
	require.Eventually(t, func() bool { return trustNow(w) == "root/1+root/2" },
		5*time.Second, time.Millisecond, "cert-manager's write is mended")

	stale := w.current(leafSecret).object.DeepCopy()
	stale.Data[caKey] = file([]*x509.Certificate{root2.cert})
	api.put(stale) // from cert-manager's cache, with annotations
	w.tasks.Wait()
	assert.Equal(t, "root/1+root/2", trustNow(w))

	drop := publish("swap/drop-trust", false, scenarios.Current)
	require.NoError(t, w.perform(t.Context(), drop))
	assert.Equal(t, "root/2", trustNow(w))
	require.NoError(t, w.perform(t.Context(), drop), "nothing to do, so nothing is proved")
	assert.Equal(t, []string{
		"swap/add-trust: default/leaf: ca.crt holds root/1+root/2",
		"swap/drop-trust: default/leaf: ca.crt holds root/2",
	}, proofs(r))
	assert.Equal(t, 4, api.patches)
}

// What is held is held over issuances: a fault that cuts the bundle down in between has its effect.
func TestTrimDuringHold(t *testing.T) {
	t.Parallel()
	r, w, api := newTestWorld(t)
	root2 := mint(t, nil, "root", true)
	api.put(stored(t, rootSecret, root2, root2))
	add := publish("swap/add-trust", true, scenarios.Previous, scenarios.Current)
	require.NoError(t, w.perform(t.Context(), add))
	trim := scenarios.Action{
		ID: "trim", Verb: scenarios.TrimBundle, Secrets: []string{leafSecret}, Keep: 1,
	}
	require.NoError(t, w.perform(t.Context(), trim))
	w.tasks.Wait()
	assert.Equal(t, "root/1", trustNow(w))
	again := w.current(leafSecret).object.DeepCopy()
	again.Data[caKey] = append(again.Data[caKey], "# a remark\n"...)
	api.put(again)
	w.tasks.Wait()
	assert.Equal(t, "root/1", trustNow(w), "until something is issued")
	require.NoError(t, w.perform(t.Context(), trim), "nothing to trim, so nothing is proved")
	assert.Equal(t, []string{
		"swap/add-trust: default/leaf: ca.crt holds root/1+root/2",
		"trim: default/leaf: ca.crt holds root/1",
	}, proofs(r))

	api.put(stored(t, leafSecret, mint(t, root2, "a.example", false), root2))
	w.tasks.Wait()
	assert.Equal(t, "root/1+root/2", trustNow(w))
}

// Trust that waits for an issuance is written with it alone, and proved by it.
func TestPublishTrustWithNextWrite(t *testing.T) {
	t.Parallel()
	r, w, api := newTestWorld(t)
	root2 := mint(t, nil, "root", true)
	api.put(stored(t, rootSecret, root2, root2))
	hold := publish("swap/hold-trust", true, scenarios.Previous, scenarios.Current)
	hold.NextWrite, hold.CrossSign = true, true
	require.NoError(t, w.perform(t.Context(), hold))
	assert.Equal(t, "root/1", trustNow(w))
	assert.Empty(t, proofs(r))
	assert.Zero(t, api.patches)

	leaf := mint(t, root2, "a.example", false)
	api.put(stored(t, leafSecret, leaf, root2))
	w.tasks.Wait()
	assert.Equal(t,
		[]string{"swap/hold-trust: default/leaf: ca.crt holds root/1+root/2"}, proofs(r))
	assert.Equal(t, 1, api.patches, "tls.crt and ca.crt in one write")
	certs := w.current(leafSecret).certs
	require.Len(t, certs, 2)
	assert.True(t, certs[0].Equal(leaf.cert))
	assert.Equal(t, "root/2x", r.names.other(certs[1]).name)
}

// A CA whose Secret is gone for a moment is still the newest: nobody's trust is emptied.
func TestPublishTrustWithoutAuthority(t *testing.T) {
	t.Parallel()
	r, w, api := newTestWorld(t)
	root2 := mint(t, nil, "root", true)
	api.put(stored(t, rootSecret, root2, root2))
	w.sawSecret(rootSecret, nil)
	action := publish("swap/drop-trust", true, scenarios.Current)
	action.CrossSign = true
	require.NoError(t, w.perform(t.Context(), action))
	assert.Equal(t, "root/2", trustNow(w))

	w.sawSecret(leafSecret, nil)
	require.NoError(t, w.perform(t.Context(), action), "nothing to publish in")
	assert.Len(t, proofs(r), 1)
}

func TestLacks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.secrets[leafSecret]
	c := s.current()
	assert.Empty(t, s.lacks(c), "nothing is held")
	root2 := mint(t, nil, "root", true)
	both := file(append(c.cas[:1:1], root2.cert))
	s.trust = &heldTrust{ca: file(c.cas)}
	assert.Empty(t, s.lacks(c))
	s.trust.ca = both
	assert.Equal(t, map[string][]byte{caKey: both}, s.lacks(c))

	// What the informer holds is not written to, even where there is room behind it.
	chain := c.object.Data[certKey]
	roomy := append(bytes.Clone(chain), "the next object in the same buffer, rather long"...)
	want := bytes.Clone(roomy)
	c.object.Data[certKey] = roomy[:len(chain)]
	s.trust.cross = []byte("CROSS\n")
	missing := s.lacks(c)
	assert.Equal(t, string(chain)+"CROSS\n", string(missing[certKey]))
	assert.Equal(t, string(want), string(roomy))
	c.object.Data[certKey] = missing[certKey]
	assert.NotContains(t, s.lacks(c), certKey)
}

// Somebody else's write in between is no reason to give up, nor to undo it.
func TestPatchAfterConflict(t *testing.T) {
	t.Parallel()
	_, w, api := newTestWorld(t)
	other := w.current(leafSecret).object.DeepCopy()
	other.Labels = map[string]string{"somebody": "else"}
	other.ResourceVersion = "99"
	api.mu.Lock()
	api.stored[leafSecret] = other
	api.mu.Unlock()
	done := make(chan error)
	go func() {
		done <- w.patch(t.Context(), leafSecret, func(*content) map[string][]byte {
			return map[string][]byte{caKey: []byte("x")}
		})
	}()
	require.Eventually(t, func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return api.patches == 1
	}, 5*time.Second, time.Millisecond)
	w.sawSecret(leafSecret, other)
	require.NoError(t, <-done)
	api.mu.Lock()
	defer api.mu.Unlock()
	assert.Equal(t, "x", string(api.stored[leafSecret].Data[caKey]))
	assert.Equal(t, "else", api.stored[leafSecret].Labels["somebody"])
}

func TestSecretFaults(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	do := func(id string, verb scenarios.Verb) {
		require.NoError(t, w.perform(t.Context(),
			scenarios.Action{ID: id, Verb: verb, Secrets: []string{leafSecret}}))
	}
	first := w.current(leafSecret)
	do("tear", scenarios.WriteTornPair)
	assert.Equal(t, &record.Generation{
		Leaf: "leaf/1'", Trust: "root/1", Chain: "root/1", Torn: true,
	}, w.current(leafSecret).held)
	do("mend", scenarios.RestorePair)
	assert.True(t, first.same(w.current(leafSecret)))
	do("mend again", scenarios.RestorePair)
	do("restore", scenarios.RestoreSecret)
	do("remove", scenarios.RemoveSecret)
	assert.Nil(t, w.current(leafSecret))
	do("remove again", scenarios.RemoveSecret)
	do("tear nothing", scenarios.WriteTornPair)
	assert.Equal(t, []string{
		"tear: default/leaf: tls.key is not the key of tls.crt",
		"mend: default/leaf: tls.crt and tls.key match again",
		"mend again: default/leaf: tls.crt and tls.key match again",
		"restore: default/leaf: the Secret exists again",
		"remove: default/leaf: the Secret is gone",
	}, proofs(r))
	assert.Empty(t, r.out.of(record.Issue))
}

// Faults read what the watch writes.
func TestFaultsWhileSecretsAreSeen(t *testing.T) {
	t.Parallel()
	_, w, api := newTestWorld(t)
	stop := make(chan struct{})
	var seeing sync.WaitGroup
	seeing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				api.mu.Lock()
				again := api.stored[leafSecret].DeepCopy()
				api.mu.Unlock()
				w.sawSecret(leafSecret, again)
			}
		}
	})
	for range 20 {
		_ = w.patch(t.Context(), leafSecret, func(c *content) map[string][]byte {
			return map[string][]byte{caKey: c.object.Data[caKey]}
		})
	}
	close(stop)
	seeing.Wait()
}

func TestAwaitSecretsEnds(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := w.awaitSecrets(ctx, func() bool { return false })
	assert.ErrorIs(t, err, context.Canceled)
}
