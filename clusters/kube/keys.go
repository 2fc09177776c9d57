package kube

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/certquake/certquake/clusters/rotator"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/rotation"
)

// order gives a RotatingSecret orders.
func (w *world) order(ctx context.Context, secret string, orders map[string]string) error {
	planned := w.plan.World.RotatingSecretOf(secret)
	body, err := json.Marshal(map[string]any{"spec": map[string]any{"orders": orders}})
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	object := &rotating.RotatingSecret{}
	object.Namespace, object.Name = w.places.of(planned.Namespace), planned.Name
	err = insist(ctx, func() error {
		attempt, cancel := context.WithTimeout(ctx, triggerLimit)
		defer cancel()
		return w.client.Resources().Patch(attempt, object,
			k8s.Patch{PatchType: types.MergePatchType, Data: body})
	})
	if err != nil {
		return fmt.Errorf("order RotatingSecret %s/%s: %w", planned.Namespace, planned.Name, err)
	}
	return nil
}

// proveKeys waits until a Secret is written so that is says so, and proves the action by that. It
// looks at what was written after the first seen contents.
func (w *world) proveKeys(
	ctx context.Context, action scenarios.Action, name string, seen int, is func(*content) bool,
) error {
	var found *content
	err := w.awaitSecrets(ctx, func() bool {
		for _, c := range w.ledger.secrets[name].history[seen:] {
			if !c.deleted && is(c) {
				found = c
				return true
			}
		}
		return false
	})
	if err == nil {
		w.ledger.prove(action.ID, name, "the Secret holds "+found.keys.String(), time.Now())
	}
	return err
}

// held returns what a Secret holds, nil if it does not exist, and how many contents it has had.
func (w *world) held(name string) (now *content, seen int) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	s := w.ledger.secrets[name]
	return s.current(), len(s.history)
}

// rotateKeys orders rotations, each of which is proved by a key that was not there before.
func (w *world) rotateKeys(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		before, seen := w.held(name)
		if err := w.order(ctx, name, map[string]string{"rotate": action.ID}); err != nil {
			return err
		}
		err := w.proveKeys(ctx, action, name, seen, func(c *content) bool {
			return slices.ContainsFunc(c.keys.IDs, func(id string) bool {
				return before == nil || !slices.Contains(before.keys.IDs, id)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rejectKeys has the keys that are primary give way to those before them.
func (w *world) rejectKeys(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		before, seen := w.held(name)
		if before == nil || len(before.keys.Primary) != 1 {
			continue // there is none to reject, so nothing is proved
		}
		rejected := before.keys.Primary[0]
		if err := w.order(ctx, name, map[string]string{"reject": rejected}); err != nil {
			return err
		}
		err := w.proveKeys(ctx, action, name, seen, func(c *content) bool {
			return !c.torn && !slices.Contains(c.keys.Primary, rejected) &&
				slices.Contains(before.keys.IDs, c.keys.Primary[0])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// editKeys writes Secrets behind the operator's back: a new key alone, or a ring that is none.
func (w *world) editKeys(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		before, _ := w.held(name)
		if before == nil {
			continue // nothing to edit, so nothing is proved
		}
		files, err := w.edited(action, name, before)
		if err != nil {
			return fmt.Errorf("make a key for %s: %w", name, err)
		}
		w.mu.Lock()
		w.unspoilt[name] = before
		w.mu.Unlock()
		if err := w.writeKeys(ctx, action, name, files); err != nil {
			return err
		}
	}
	return nil
}

// mendKeys writes back what Secrets held before they were edited.
func (w *world) mendKeys(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		w.mu.Lock()
		before := w.unspoilt[name]
		w.mu.Unlock()
		if before == nil {
			continue // nothing to mend, so nothing is proved
		}
		if err := w.writeKeys(ctx, action, name, before.object.Data); err != nil {
			return err
		}
	}
	return nil
}

// writeKeys has a Secret hold the files and no others, and proves it when that is seen.
func (w *world) writeKeys(
	ctx context.Context, action scenarios.Action, name string, files map[string][]byte,
) error {
	want := rotation.Names(files)
	_, seen := w.held(name)
	err := w.patch(ctx, name, func(c *content) map[string][]byte {
		data := maps.Clone(files)
		for file := range c.object.Data {
			if _, stays := files[file]; !stays {
				data[file] = nil // which a patch takes away
			}
		}
		return data
	})
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", name, err)
	}
	return w.proveKeys(ctx, action, name, seen,
		func(c *content) bool { return slices.Equal(rotation.Names(c.object.Data), want) })
}

// edited returns the files that the action has a Secret hold.
func (w *world) edited(
	action scenarios.Action, name string, before *content,
) (map[string][]byte, error) {
	spec, _ := w.plan.World.RotatingSecretOf(name).Spec.Rotation()
	fresh, err := newKey(spec, before, time.Now())
	if err != nil {
		return nil, err
	}
	switch {
	case action.Verb == scenarios.ReplaceKeys:
		return fresh, nil
	case action.Mode == scenarios.TwoPrimaries:
		files := maps.Clone(before.object.Data)
		maps.Copy(files, fresh)
		return files, nil
	}
	files := map[string][]byte{}
	for file, data := range before.object.Data {
		files[strings.TrimSuffix(file, primaryMark)] = data
	}
	if action.Mode == scenarios.NoPrimary {
		return files, nil
	}
	maps.Copy(files, half(fresh))
	return files, nil
}

// primaryMark ends the names of the files of the key that signs.
const primaryMark = ".primary"

// half returns the files of a key that are there when it is written by half: of a pair all but the
// public part, of a secret a file that is empty yet.
func half(key map[string][]byte) map[string][]byte {
	files := map[string][]byte{}
	for file, data := range key {
		switch {
		case len(key) == 1:
			files[file] = []byte{}
		case !strings.HasSuffix(file, "."+string(rotation.PublicPart)+primaryMark):
			files[file] = data
		}
	}
	return files
}

// newKey returns the files of a new key, as a primary, with an id that no key of the Secret had. It
// is the key that a rotation would publish if the ring were the primary alone.
func newKey(spec rotation.Spec, before *content, now time.Time) (map[string][]byte, error) {
	spec.Every = 0
	state, err := rotation.ParseState(before.object.Annotations[rotator.StateAnnotation])
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for file, data := range before.object.Data {
		if strings.HasPrefix(file, state.Primary+".") {
			files[strings.TrimSuffix(file, primaryMark)+primaryMark] = data
		}
	}
	steady := rotation.State{
		Phase: rotation.Steady, Primary: state.Primary, Counter: state.Counter,
		Stamp: state.Stamp, Rotated: state.Rotated,
	}
	d := rotation.Decide(rotation.Input{
		Spec: spec, Names: rotation.Names(files), State: &steady, Now: now,
		Orders: rotation.Orders{Rotate: "by hand"},
	})
	made, err := rotation.Apply(d, files, rotation.Source{Random: rand.Reader})
	if err != nil {
		return nil, err
	}
	fresh := map[string][]byte{}
	for file, data := range made.Files {
		if _, old := files[file]; !old {
			fresh[file+primaryMark] = data
		}
	}
	return fresh, nil
}
