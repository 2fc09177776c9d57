package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/certquake/certquake/scenarios"
)

// current returns what a Secret holds, nil when it does not exist.
func (w *world) current(name string) *content {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return w.ledger.secrets[name].current()
}

// awaitSecrets waits until ok says so of the Secrets, which it is asked of, under the ledger's
// lock, at each write that is seen.
func (w *world) awaitSecrets(ctx context.Context, ok func() bool) error {
	for {
		w.mu.Lock()
		seen := w.seen
		w.mu.Unlock()
		w.ledger.mu.Lock()
		done := ok()
		w.ledger.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-seen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// file returns certificates as a PEM file.
func file(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, cert := range certs {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // never fails
	}
	return out.Bytes()
}

// publishTrust puts the CAs that the action refers to into ca.crt of its Secrets, now or with the
// next issuance. cert-manager writes ca.crt with each issuance as it sees fit; trust that is held
// is put back as soon as that is seen, within tens of milliseconds.
func (w *world) publishTrust(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		ca, changes, err := w.noteTrust(action, name)
		if err != nil {
			return err
		}
		if !changes {
			continue
		}
		if err := w.replaceTrust(ctx, name, ca, action.ID); err != nil {
			return err
		}
	}
	return nil
}

// noteTrust notes the trust that is to be held in one Secret. It returns the file for ca.crt and
// whether it is to be written now.
func (w *world) noteTrust(action scenarios.Action, name string) (ca []byte, now bool, err error) {
	authority := w.plan.World.Certificate(action.Authority)
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	s := w.ledger.secrets[name]
	s.trust = nil
	held := s.current()
	if held == nil {
		return nil, false, nil // without a proof the finding is inconclusive
	}
	signer := w.ledger.secrets[scenarios.SecretOf(authority)]
	cas := s.trusted(signer, action.Trust)
	ca = file(cas)
	if action.Hold {
		s.trust = &heldTrust{ca: ca}
		if action.NextWrite {
			s.trust.action = action.ID
		}
		if action.CrossSign {
			if s.trust.cross, err = w.ledger.crossSign(signer, cas); err != nil {
				return nil, false, fmt.Errorf("cross-sign for %s: %w", name, err)
			}
		}
	}
	same := bytes.Equal(ca, file(held.cas))
	return ca, !action.NextWrite && !same, nil
}

// replaceTrust writes ca.crt of a Secret and proves it when it is seen.
func (w *world) replaceTrust(ctx context.Context, name string, ca []byte, action string) error {
	err := w.patch(ctx, name, func(*content) map[string][]byte {
		return map[string][]byte{caKey: ca}
	})
	if err != nil {
		return err
	}
	var trust string
	err = w.awaitSecrets(ctx, func() bool {
		c := w.ledger.secrets[name].current()
		if c == nil || !bytes.Equal(file(c.cas), ca) {
			return false
		}
		trust = c.held.Trust
		return true
	})
	if err == nil {
		w.ledger.prove(action, name, "ca.crt holds "+trust, time.Now())
	}
	return err
}

// keepTrust puts back what is held in a Secret if its newest content lacks it, and proves the
// PublishTrust that waited for this issuance.
func (w *world) keepTrust(name string) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	s := w.ledger.secrets[name]
	c := s.current()
	if s.trust == nil || c == nil {
		return
	}
	if c.issued {
		s.trust.cut = false
	}
	if len(s.lacks(c)) > 0 {
		// What was issued is written by cert-manager once more, to set annotations, and from what
		// its cache holds: ca.crt may go back to what it was before the trust was put back.
		if s.trust.cut || s.trust.action != "" && !c.issued {
			return
		}
		w.tasks.Go(func() {
			// An API server that is away is tried again by the write that its return brings.
			_ = w.patch(w.ctx, name, s.lacks)
		})
		return
	}
	if action := s.trust.action; action != "" {
		s.trust.action = ""
		w.ledger.proof(action, name, "ca.crt holds "+c.held.Trust,
			w.ledger.offset(time.Now()))
	}
}

// lacks returns what a content lacks of the trust that is held.
func (s *secret) lacks(c *content) map[string][]byte {
	missing := map[string][]byte{}
	if s.trust == nil {
		return missing
	}
	if !bytes.Equal(file(c.cas), s.trust.ca) {
		missing[caKey] = s.trust.ca
	}
	chain := c.object.Data[certKey]
	if s.trust.cross != nil && !bytes.Contains(chain, bytes.TrimSpace(s.trust.cross)) {
		missing[certKey] = slices.Concat(bytes.TrimRight(chain, "\n"), []byte("\n"), s.trust.cross)
	}
	return missing
}

// patch changes keys of a Secret's data as change says of its newest content, again when somebody
// else wrote in between. It does nothing if the Secret is gone or nothing is to be changed.
func (w *world) patch(
	ctx context.Context, name string, change func(*content) map[string][]byte,
) error {
	namespace, short := w.places.split(name)
	return insist(ctx, func() error {
		w.ledger.mu.Lock()
		c := w.ledger.secrets[name].current()
		var data map[string][]byte
		var version string
		if c != nil {
			data, version = change(c), c.object.ResourceVersion
		}
		w.ledger.mu.Unlock()
		if len(data) == 0 {
			return nil
		}
		body, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": version}, "data": data,
		})
		if err != nil {
			return err
		}
		_, err = w.native.CoreV1().Secrets(namespace).Patch(
			ctx, short, types.MergePatchType, body, metav1.PatchOptions{FieldManager: managedBy})
		return err
	})
}

// removeSecrets deletes Secrets.
func (w *world) removeSecrets(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		w.ledger.mu.Lock()
		seen := len(w.ledger.secrets[name].history)
		exists := w.ledger.secrets[name].current() != nil
		w.ledger.mu.Unlock()
		if !exists {
			continue // nothing to delete, so nothing is proved
		}
		namespace, short := w.places.split(name)
		err := insist(ctx, func() error {
			return w.native.CoreV1().Secrets(namespace).Delete(ctx, short, metav1.DeleteOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete Secret %s: %w", name, err)
		}
		err = w.awaitSecrets(ctx, func() bool {
			for _, c := range w.ledger.secrets[name].history[seen:] {
				if c.deleted {
					return true
				}
			}
			return false
		})
		if err != nil {
			return err
		}
		w.ledger.prove(action.ID, name, "the Secret is gone", time.Now())
	}
	return nil
}

// restoreSecrets creates Secrets again with their last content, unless something else has.
func (w *world) restoreSecrets(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		w.ledger.mu.Lock()
		exists := w.ledger.secrets[name].current() != nil
		last := w.ledger.secrets[name].paired()
		var object *corev1.Secret
		if !exists && last != nil {
			object = last.object.DeepCopy()
		}
		w.ledger.mu.Unlock()
		if object != nil {
			object.ObjectMeta = metav1.ObjectMeta{
				Name: object.Name, Namespace: object.Namespace,
				Labels: object.Labels, Annotations: object.Annotations,
			}
			err := insist(ctx, func() error { return w.client.Resources().Create(ctx, object) })
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create Secret %s: %w", name, err)
			}
		}
		err := w.awaitSecrets(ctx, func() bool {
			return w.ledger.secrets[name].current() != nil
		})
		if err != nil {
			return err
		}
		w.ledger.prove(action.ID, name, "the Secret exists again", time.Now())
	}
	return nil
}

// cut lets go of the trust held in a Secret until its next issuance, for a fault to cut it down.
func (w *world) cut(name string) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if trust := w.ledger.secrets[name].trust; trust != nil {
		trust.cut = true
	}
}

// trimBundles cuts ca.crt down to its first certificates.
func (w *world) trimBundles(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		c := w.current(name)
		if c == nil || len(c.cas) <= action.Keep {
			continue // nothing to trim: without a proof the finding is inconclusive
		}
		w.cut(name)
		if err := w.replaceTrust(ctx, name, file(c.cas[:action.Keep]), action.ID); err != nil {
			return err
		}
	}
	return nil
}
