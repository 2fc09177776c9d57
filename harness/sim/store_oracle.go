package sim

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

// newStoreGroup translates the settings of a workload of data at rest.
func newStoreGroup(index int, planned *scenarios.StoreGroup) *group {
	g := newGroup(index, scenarios.PeerGroup{Consumer: planned.Consumer})
	g.store = planned
	return g
}

// ringSettings returns how the group's pods read key rings.
func (g *group) ringSettings() keyring.Settings {
	if g.store != nil {
		return harness.StoreKeys(g.store)
	}
	return harness.KeyringSettings(g.tokens)
}

// opens tells how a process with the ring reads a record that is sealed under the key.
func (o *oracle) opens(r *ring, g *group, k *storedKey) (record.Outcome, error) {
	shape := newShape(append(o.buffer[:0], 'o'))
	shape.number(g.index)
	shape.ring(r)
	shape.id(k.id)
	shape.ringKey(k.key)
	o.buffer = shape.bytes
	return o.sealing(string(shape.bytes), func() (record.Outcome, error) {
		mint := newRingMint(o.keys)
		writer := newRing(keyFiles(k.id, k.key, true))
		return o.sealAndOpen(mint, g, writer, r)
	})
}

// seals tells whether a process with the ring can seal a record and read it again.
func (o *oracle) seals(r *ring, g *group) (record.Outcome, error) {
	shape := newShape(append(o.buffer[:0], 's'))
	shape.number(g.index)
	shape.ring(r)
	o.buffer = shape.bytes
	return o.sealing(string(shape.bytes), func() (record.Outcome, error) {
		return o.sealAndOpen(newRingMint(o.keys), g, r, r)
	})
}

// sealing returns what is remembered of a shape, executing it at first use. A share of the uses is
// executed again, as handshakes are.
func (o *oracle) sealing(
	shape string, execute func() (record.Outcome, error),
) (record.Outcome, error) {
	known, remembered := o.sealings[shape]
	if remembered && !o.audits() {
		return known, nil
	}
	if !remembered {
		o.executed++
	}
	found, err := execute()
	if err != nil {
		return "", err
	}
	if remembered && found != known {
		return "", fmt.Errorf("%w: a record was %s, is %s", ErrVerdictChanged, known, found)
	}
	o.sealings[shape] = found
	return found, nil
}

// sealAndOpen mints the keys of two rings and has the workload core seal by the one and open by the
// other.
func (o *oracle) sealAndOpen(
	mint *ringMint, g *group, writer, reader *ring,
) (record.Outcome, error) {
	held := [2]*keyring.Ring{}
	for i, r := range []*ring{writer, reader} {
		read, problem, err := o.readRing(mint, r, g)
		if err == nil && problem != "" {
			err = fmt.Errorf("a ring %s was read once but not again: %s", r, problem)
		}
		if err != nil {
			return "", err
		}
		held[i] = read
	}
	data := []byte("a record")
	text, err := sealed.Seal(held[0].Primary(), data, nil)
	if err != nil {
		return "", fmt.Errorf("seal a record: %w", err)
	}
	opened, err := sealed.Open(held[1], text)
	if found, ok := errors.AsType[*sealed.Error](err); ok {
		switch found.Problem { //nolint:exhaustive // the others are of no text that was sealed
		case sealed.UnknownKey:
			return record.UnknownKid, nil
		case sealed.BadCiphertext:
			return record.BadSignature, nil
		}
	}
	if err == nil && !bytes.Equal(opened, data) {
		err = errors.New("another text came out")
	}
	if err != nil {
		return "", fmt.Errorf("open a record: %w", err)
	}
	return record.OK, nil
}
