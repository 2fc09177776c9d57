package existing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
)

// leaseName is the name of the Lease that says which run a namespace belongs to.
const leaseName = "certquake"

const (
	// leaseFor is how long a run that gives no sign of life keeps its namespaces.
	leaseFor = 15 * time.Second
	// renewEvery is how often a run gives one.
	renewEvery = leaseFor / 3
	// lookEvery is how often a run that waits for a namespace looks for one.
	lookEvery = time.Second
)

// lock is the possession of a namespace, by a Lease in it. No two clocks are compared: whoever
// wants the namespace watches for leaseFor whether the Lease is renewed.
type lock struct {
	leases    typed.LeaseInterface
	namespace string
	run       string
	lost      func(error) // is called once when somebody took the namespace away

	lease  *coordination.Lease // as last written
	cancel context.CancelFunc
	task   sync.WaitGroup
}

// acquire takes possession of a namespace, from a run that was killed if need be. It fails when a
// run that is alive has it.
func (c *cluster) acquire(ctx context.Context, namespace string) (*lock, error) {
	l := &lock{
		leases: c.client.CoordinationV1().Leases(namespace), namespace: namespace, run: c.run,
		lost: c.lose,
	}
	if err := l.take(ctx); err != nil {
		if ctx.Err() != nil { // the answer may be what was interrupted
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
			defer cancel()
			err = errors.Join(err, l.release(leaving))
		}
		return nil, err
	}
	renewing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.task.Go(func() { l.keep(renewing) })
	return l, nil
}

// take makes the Lease, or takes over one that is not renewed any more.
func (l *lock) take(ctx context.Context) error {
	made, err := l.leases.Create(ctx, l.claim(&coordination.Lease{
		ObjectMeta: meta.ObjectMeta{Name: leaseName},
	}), meta.CreateOptions{})
	if err == nil {
		l.lease = made
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%w: take namespace %s: %w", clusters.ErrBroken, l.namespace, err)
	}
	held, err := l.awaitEnd(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return l.take(ctx) // its holder is done with it
	case err != nil:
		return err
	}
	l.lease, err = l.leases.Update(ctx, l.claim(held), meta.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return l.busy("another run")
	}
	if err != nil {
		return fmt.Errorf("%w: take namespace %s: %w", clusters.ErrBroken, l.namespace, err)
	}
	return nil
}

// claim returns the Lease as this run's, renewed now.
func (l *lock) claim(lease *coordination.Lease) *coordination.Lease {
	lease = lease.DeepCopy()
	lease.Labels = kube.RunLabels(l.run)
	now := meta.NowMicro()
	lease.Spec = coordination.LeaseSpec{
		HolderIdentity: &l.run, LeaseDurationSeconds: new(int32(leaseFor / time.Second)),
		AcquireTime: &now, RenewTime: &now,
	}
	return lease
}

func (l *lock) busy(holder string) error {
	return fmt.Errorf("%w: namespace %s belongs to %s, which goes on: wait until it ends, or "+
		"choose another --namespace", clusters.ErrBroken, l.namespace, holder)
}

// awaitEnd returns the Lease once it was not renewed for as long as it lasts.
func (l *lock) awaitEnd(ctx context.Context) (*coordination.Lease, error) {
	first, err := l.leases.Get(ctx, leaseName, meta.GetOptions{})
	if err != nil {
		return nil, err
	}
	if kube.RunOf(first) == "" {
		return nil, fmt.Errorf("%w: Lease %s/%s is none of certquake's: choose another --namespace",
			clusters.ErrBroken, l.namespace, leaseName)
	}
	holder := "run " + holderOf(first)
	harness.Say(ctx, "namespace %s belongs to %s: waiting up to %s for a sign of life of it",
		l.namespace, holder, leaseFor)
	ends := time.NewTimer(leaseFor)
	defer ends.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ends.C:
			return first, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		now, err := l.leases.Get(ctx, leaseName, meta.GetOptions{})
		switch {
		case err != nil:
			return nil, err
		case now.ResourceVersion != first.ResourceVersion:
			return nil, l.busy(holder)
		}
	}
}

func holderOf(lease *coordination.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return "unknown"
	}
	return *lease.Spec.HolderIdentity
}

// keep renews the Lease until ctx is done, or it is somebody else's.
func (l *lock) keep(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := l.renew(ctx); err != nil {
			l.lost(err)
			return
		}
	}
}

// renew renews the Lease once. Its error is that the Lease is somebody else's; an API server that
// does not answer is asked again at the next tick.
func (l *lock) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	renewed := l.lease.DeepCopy()
	now := meta.NowMicro()
	renewed.Spec.RenewTime = &now
	written, err := l.leases.Update(ctx, renewed, meta.UpdateOptions{})
	switch {
	case err == nil:
		l.lease = written
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("somebody deleted the Lease %s/%s, which keeps other runs away",
			l.namespace, leaseName)
	case !apierrors.IsConflict(err):
		return nil // it is tried again
	}
	held, err := l.leases.Get(ctx, leaseName, meta.GetOptions{})
	if err != nil {
		return nil // it is tried again
	}
	if holderOf(held) != l.run {
		return fmt.Errorf("run %s took namespace %s, since this one gave no sign of life for %s",
			holderOf(held), l.namespace, leaseFor)
	}
	l.lease = held // somebody touched it, or the answer to a renewal did not arrive
	return nil
}

// stop has the Lease not be renewed any more.
func (l *lock) stop() {
	l.cancel()
	l.task.Wait()
}

// release gives the namespace back, after stop.
func (l *lock) release(ctx context.Context) error {
	held, err := l.leases.Get(ctx, leaseName, meta.GetOptions{})
	if err == nil && holderOf(held) == l.run {
		err = l.leases.Delete(ctx, leaseName, meta.DeleteOptions{
			Preconditions: meta.NewRVDeletionPrecondition(held.ResourceVersion).Preconditions,
		})
	}
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("%w: left in the cluster: Lease %s/%s: %w; remove it by\n  "+
		"kubectl delete -n %s lease/%s", clusters.ErrBroken, l.namespace, leaseName, err,
		l.namespace, leaseName)
}
