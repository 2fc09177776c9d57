package existing

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/certquake/certquake/harness"
)

// versioned returns a client of an API server that counts the versions of objects, as real ones do.
func versioned() *fake.Clientset {
	client := fake.NewClientset()
	version := 0
	count := func(action clienttesting.Action) (bool, runtime.Object, error) {
		object := action.(clienttesting.UpdateAction).GetObject().(*coordination.Lease)
		if action.GetVerb() == "update" {
			held, err := client.Tracker().Get(action.GetResource(), "rotation", object.Name)
			if err != nil {
				return true, nil, err
			}
			if held.(*coordination.Lease).ResourceVersion != object.ResourceVersion {
				return true, nil, apierrors.NewConflict(
					coordination.Resource("leases"), object.Name, nil)
			}
		}
		version++
		object.ResourceVersion = strconv.Itoa(version)
		return false, nil, nil
	}
	client.PrependReactor("create", "leases", count)
	client.PrependReactor("update", "leases", count)
	return client
}

// running returns a run on the API server.
func running(client *fake.Clientset, run string) *cluster {
	return &cluster{
		client: client, run: run, namespaces: []string{"rotation"},
		broken: make(chan struct{}),
	}
}

// A namespace belongs to one run at a time, for as long as it renews its Lease.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := versioned()
		first, second := running(client, "r1"), running(client, "r2")
		held, err := first.acquire(t.Context(), "rotation")
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		_, err = second.acquire(t.Context(), "rotation")
		require.ErrorIs(t, err, harness.ErrBroken)
		require.ErrorContains(t, err, "namespace rotation belongs to run r1, which goes on: wait "+
			"until it ends, or choose another --namespace")
		held.stop()
		require.NoError(t, held.release(t.Context()))
		next, err := second.acquire(t.Context(), "rotation")
		require.NoError(t, err)
		next.stop()
		require.NoError(t, next.release(t.Context()))
		_, err = client.CoordinationV1().Leases("rotation").Get(
			t.Context(), leaseName, meta.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "nothing is left of it")
		require.NoError(t, first.cause())
	})
}

// The namespace of a run that was killed is taken once it has given no sign of life for as long as
// the Lease lasts, whatever the clocks of the two say. If it lives after all, it learns of it.
func TestLockOfKilledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := versioned()
		first, second := running(client, "r1"), running(client, "r2")
		killed, err := first.acquire(t.Context(), "rotation")
		require.NoError(t, err)
		killed.stop()
		began := time.Now()
		held, err := second.acquire(t.Context(), "rotation")
		require.NoError(t, err)
		assert.Equal(t, leaseFor, time.Since(began))
		assert.Equal(t, "r2", holderOf(held.lease))

		err = killed.renew(t.Context())
		require.EqualError(t, err, "run r2 took namespace rotation, since this one gave no sign "+
			"of life for 15s")
		killed.stop()
		require.NoError(t, killed.release(t.Context()))
		time.Sleep(2 * renewEvery)
		require.NoError(t, second.cause(), "it was not the first one's to give back")
		held.stop()
		require.NoError(t, held.release(t.Context()))
	})
}

// A run whose Lease is deleted ends, since others could come.
func TestLockDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := versioned()
		c := running(client, "r1")
		held, err := c.acquire(t.Context(), "rotation")
		require.NoError(t, err)
		require.NoError(t, client.CoordinationV1().Leases("rotation").Delete(
			t.Context(), leaseName, meta.DeleteOptions{}))
		<-c.broken
		require.ErrorIs(t, c.cause(), harness.ErrBroken)
		require.ErrorContains(t, c.cause(), "somebody deleted the Lease rotation/certquake")
		held.stop()
		require.NoError(t, held.release(t.Context()))
	})
}

// An API server that is away for a while does not end a run, nor does whoever touches the Lease.
func TestLockSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := versioned()
		var away atomic.Bool
		client.PrependReactor("update", "leases", func(clienttesting.Action) (
			bool, runtime.Object, error,
		) {
			return away.Load(), nil, apierrors.NewInternalError(assert.AnError)
		})
		c := running(client, "r1")
		held, err := c.acquire(t.Context(), "rotation")
		require.NoError(t, err)
		away.Store(true)
		time.Sleep(10 * renewEvery)
		away.Store(false)
		leases := client.CoordinationV1().Leases("rotation")
		lease, err := leases.Get(t.Context(), leaseName, meta.GetOptions{})
		require.NoError(t, err)
		lease.Annotations = map[string]string{"touched": "yes"}
		_, err = leases.Update(t.Context(), lease, meta.UpdateOptions{})
		require.NoError(t, err)
		time.Sleep(10 * renewEvery)
		require.NoError(t, c.cause())
		lease, err = leases.Get(t.Context(), leaseName, meta.GetOptions{})
		require.NoError(t, err)
		assert.Less(t, time.Since(lease.Spec.RenewTime.Time), 2*renewEvery)
		held.stop()
		require.NoError(t, held.release(t.Context()))
	})
}

// Whoever waits for a namespace can be interrupted.
func TestLockInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := versioned()
		held, err := running(client, "r1").acquire(t.Context(), "rotation")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		_, err = running(client, "r2").acquire(ctx, "rotation")
		require.ErrorIs(t, err, context.Canceled)
		held.stop()
		require.NoError(t, held.release(t.Context()))
	})
}

// A Lease of the same name that is none of certquake's is never taken, however old it is.
func TestLockOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := versioned()
		_, err := client.CoordinationV1().Leases("rotation").Create(t.Context(),
			&coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: leaseName}}, meta.CreateOptions{})
		require.NoError(t, err)
		_, err = running(client, "r1").acquire(t.Context(), "rotation")
		require.ErrorIs(t, err, harness.ErrBroken)
		require.ErrorContains(t, err, "Lease rotation/certquake is none of certquake's: choose "+
			"another --namespace")
		assert.NotContains(t, err.Error(), "waiting")
	})
}
