package reports

import (
	"slices"
	"time"

	"github.com/certquake/certquake/workloads/rotation"
)

// waits measures the intervals of rotations by the key rings that were written one after another.
//
//	r1*    r1* r2    r1 r2*    r2*
//	       |---------|             publish to sign, of r2
//	                 |---------|   sign to drop, of r1
//
// A key that is published and signs in one write waited 0, and so did what signed last for its
// removal, if that was in the same write. Since when a key is published that was there at first is
// not known.
type waits struct {
	primary   string
	keys      []string
	published map[string]time.Duration // when, of keys that have not signed yet
	left      map[string]time.Duration // when keys that have signed last stopped
	least     map[rotation.Interval]time.Duration
}

// next takes the next ring that was written.
func (w *waits) next(at time.Duration, primary string, keys []string) {
	if w.keys == nil {
		w.published, w.left = map[string]time.Duration{}, map[string]time.Duration{}
		w.least = map[rotation.Interval]time.Duration{}
		w.primary, w.keys = primary, keys
		return
	}
	for _, key := range keys {
		if !slices.Contains(w.keys, key) {
			w.published[key] = at
		}
	}
	if primary != w.primary {
		w.left[w.primary] = at
		w.measure(rotation.PublishToSign, w.published, primary, at)
	}
	for _, key := range w.keys {
		if !slices.Contains(keys, key) {
			w.measure(rotation.SignToDrop, w.left, key, at)
		}
	}
	w.primary, w.keys = primary, keys
}

// measure ends a wait of the key, if one had begun.
func (w *waits) measure(
	interval rotation.Interval, begun map[string]time.Duration, key string, at time.Duration,
) {
	since, ok := begun[key]
	if !ok {
		return
	}
	delete(begun, key)
	if least, measured := w.least[interval]; !measured || at-since < least {
		w.least[interval] = at - since
	}
}

// smallest returns the smallest interval that was seen, nil for none.
func (w *waits) smallest(interval rotation.Interval) *Seconds {
	least, ok := w.least[interval]
	if !ok {
		return nil
	}
	return new(seconds(least))
}
