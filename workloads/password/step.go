package password

import (
	"context"
	"maps"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/rotation"
)

// Prepare does on the server what a Decision needs there, before the Secret that rotation.Apply
// made of it is written. Done again, after a crash or with another password in the Secret, it puts
// right what was done before. Actions that neither add, prove nor remove a user need nothing.
//
// The error is a *RoleError; then the Secret must not be written. NoKey is one about a Secret that
// lacks what the Decision is about.
func (r *Roles) Prepare(
	ctx context.Context, d rotation.Decision, secret rotation.Secret,
) error {
	switch d.Action {
	case rotation.Create:
		return r.prepare(ctx, secret, secret.State.Primary, r.readmit)
	case rotation.Publish:
		return r.prepare(ctx, secret, secret.State.Next, r.readmit)
	case rotation.Promote, rotation.Rollback:
		return r.prepare(ctx, secret, d.To, r.ensure)
	case rotation.Retire:
		return r.Retire(ctx, d.ID)
	case rotation.Wait, rotation.Abandon, rotation.Migrate, rotation.Halt:
	}
	return nil
}

// readmit admits the user of a key, whose password is new, and proves it.
func (r *Roles) readmit(ctx context.Context, key keyring.Key) error {
	if err := r.Admit(ctx, key); err != nil {
		return err
	}
	return r.Prove(ctx, key)
}

// prepare does a step to the user of an id.
func (r *Roles) prepare(
	ctx context.Context, secret rotation.Secret, id string,
	step func(context.Context, keyring.Key) error,
) error {
	ring, err := RingOf(secret.Files)
	if err != nil {
		return &RoleError{Problem: NoKey, Role: id, Err: err}
	}
	key, ok := ring.Key(id)
	if !ok {
		return &RoleError{Problem: NoKey, Role: id, Err: errNotInKey}
	}
	return step(ctx, key)
}

// RingOf returns the ring of a Secret's files. The error is a *keyring.ReadError.
func RingOf(files map[string][]byte) (*keyring.Ring, error) {
	volume := credential.NewVolume()
	volume.Project("secret", maps.Clone(files))
	return keyring.Read(volume, keyring.Settings{Parts: []keyring.Part{Part}, Check: Check})
}
