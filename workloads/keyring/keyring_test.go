package keyring_test

import (
	"crypto/ecdsa"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
)

// TestRereadsLazily follows a rotation with a TTL of five minutes: nothing is read without demand,
// before the TTL is over or twice at one instant.
func TestRereadsLazily(t *testing.T) {
	at := newClock()
	h := &hooked{Volume: mount(phases[0])}
	keys := keyring.New(h, keyring.Settings{Now: at.Now})
	assert.Equal(t, keyring.Status{}, keys.Status())
	demand := func(want string, reads int) *keyring.Ring {
		t.Helper()
		ring, err := keys.Ring()
		require.NoError(t, err)
		assert.Equal(t, want, ring.String())
		assert.Equal(t, reads, h.lists)
		assert.Equal(t, reads, keys.Status().Reads)
		return ring
	}
	first := demand("r1*", 1)
	project(h.Volume, "2", phases[1])
	at.advance(keyring.DefaultTTL - 1)
	assert.Same(t, first, demand("r1*", 1))
	assert.Equal(t, start.Add(keyring.DefaultTTL), keys.Status().Due)

	at.advance(1)
	assert.Equal(t, 1, keys.Status().Reads, "no demand, no read")
	second := demand("r1* r2", 2)
	assert.Same(t, second, demand("r1* r2", 2))

	at.advance(time.Hour)
	assert.Same(t, second, demand("r1* r2", 3), "what is the same stays the same pointer")
	assert.Equal(t, keyring.Status{
		Ring: second, Read: at.now, Good: at.now, Due: at.now.Add(keyring.DefaultTTL), Reads: 3,
	}, keys.Status())
	assert.Equal(t, "r1*", first.String(), "a ring does not change")
}

// TestKeepsLastGood has a rotation written wrong, then mended. Retries are a second apart.
func TestKeepsLastGood(t *testing.T) {
	at := newClock()
	h := &hooked{Volume: mount(phases[1])}
	keys := keyring.New(h, keyring.Settings{Now: at.Now})
	good, err := keys.Ring()
	require.NoError(t, err)

	project(h.Volume, "2", map[string]string{"r1.key.primary": "one", "r2.key.primary": "two"})
	at.advance(keyring.DefaultTTL)
	failed := at.now
	for range 3 {
		ring, ringErr := keys.Ring()
		require.NoError(t, ringErr)
		assert.Same(t, good, ring)
	}
	status := keys.Status()
	got, ok := errors.AsType[*keyring.ReadError](status.Err)
	require.True(t, ok)
	assert.Equal(t, keyring.TwoPrimaries, got.Problem)
	assert.Equal(t, "r2.key.primary", got.File)
	assert.Equal(t, keyring.Status{
		Ring: good, Read: failed, Good: start, Err: got,
		Due: failed.Add(keyring.DefaultRetry), Reads: 2, Failures: 1,
	}, status)

	project(h.Volume, "3", phases[2])
	at.advance(keyring.DefaultRetry - 1)
	ring, err := keys.Ring()
	require.NoError(t, err)
	assert.Same(t, good, ring)
	at.advance(1)
	ring, err = keys.Ring()
	require.NoError(t, err)
	assert.Equal(t, "r1 r2*", ring.String())
	status = keys.Status()
	require.NoError(t, status.Err)
	assert.Equal(t, 3, status.Reads)
	assert.Equal(t, 1, status.Failures)
	assert.Equal(t, at.now, status.Good)
}

// TestNoGoodRing returns the error of the last read, without reading for each demand.
func TestNoGoodRing(t *testing.T) {
	at := newClock()
	h := &hooked{Volume: credential.NewVolume()}
	keys := keyring.New(h, keyring.Settings{Now: at.Now})
	for range 3 {
		ring, err := keys.Ring()
		assert.Nil(t, ring)
		got, ok := errors.AsType[*keyring.ReadError](err)
		require.True(t, ok)
		assert.Equal(t, keyring.Empty, got.Problem)
		assert.Equal(t, 1, h.lists)
	}
	project(h.Volume, "1", phases[0])
	at.advance(keyring.DefaultRetry)
	ring, err := keys.Ring()
	require.NoError(t, err)
	assert.Equal(t, "r1*", ring.String())
}

// TestSchedule has the Due of each setting, after a read that succeeded and after one that failed.
func TestSchedule(t *testing.T) {
	rows := []struct {
		name         string
		set          keyring.Settings
		good, failed time.Duration
	}{
		{"default", keyring.Settings{}, 5 * time.Minute, time.Second},
		{"own", keyring.Settings{TTL: time.Minute, Retry: time.Hour}, time.Minute, time.Hour},
		{"a TTL below the retry", keyring.Settings{TTL: 10}, 10, 10},
		{"a retry at every demand", keyring.Settings{Retry: -1}, 5 * time.Minute, 0},
		{"never", keyring.Settings{TTL: keyring.Never}, 0, time.Second},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.set.Now = newClock().Now
			keys := keyring.New(mount(phases[0]), row.set)
			_, err := keys.Ring()
			require.NoError(t, err)
			never := row.set.TTL == keyring.Never
			assert.Equal(t, never, keys.Status().Done)
			assert.Equal(t, never, keys.Status().Due.IsZero())
			if !never {
				assert.Equal(t, row.good, keys.Status().Due.Sub(start))
			}

			keys = keyring.New(credential.NewVolume(), row.set)
			_, err = keys.Ring()
			require.Error(t, err)
			assert.Equal(t, row.failed, keys.Status().Due.Sub(start))
			assert.False(t, keys.Status().Done)
		})
	}
}

// TestNever reads until it has a ring, and then no more.
func TestNever(t *testing.T) {
	at := newClock()
	v := credential.NewVolume()
	keys := keyring.New(v, keyring.Settings{Now: at.Now, TTL: keyring.Never})
	_, err := keys.Ring()
	require.Error(t, err)
	for _, phase := range phases {
		project(v, "1", phase)
		at.advance(1000 * time.Hour)
		ring, ringErr := keys.Ring()
		require.NoError(t, ringErr)
		assert.Equal(t, "r1*", ring.String())
	}
	assert.Equal(t, 2, keys.Status().Reads)
}

// TestReused changes the key of an id. The same key in another encoding is none.
func TestReused(t *testing.T) {
	one, two := ecKey(t), ecKey(t)
	certificate := certPEM(t, one)
	opaque := []keyring.Part{keyring.Symmetric, "password"}
	bytes := func(key, password string) map[string]string {
		return map[string]string{"r1.key.primary": key, "r1.password": password}
	}
	encoded := func(key *ecdsa.PrivateKey, comment string) map[string]string {
		return map[string]string{
			"r1.private.primary": comment + privatePEM(t, key), "r1.public": publicPEM(t, key),
		}
	}
	chain := func(certs string) map[string]string {
		return map[string]string{"r1.crt.primary": certs}
	}
	rows := []struct {
		name          string
		parts         []keyring.Part
		before, after map[string]string
		want          string // the file; "" if it is accepted
	}{
		{"another key", opaque, bytes("one", "p"), bytes("two", "p"), "r1.key.primary"},
		{"another password", opaque, bytes("one", "p"), bytes("one", "q"), "r1.key.primary"},
		{"another pair", pair, encoded(one, ""), encoded(two, ""), "r1.private.primary"},
		{"text around a key", pair, encoded(one, ""), encoded(one, "#\n"), ""},
		{
			"another certificate of a key", triple[2:],
			chain(certificate), chain(certPEM(t, one)), "r1.crt.primary",
		},
		{
			"another chain of a certificate", triple[2:],
			chain(certificate), chain(certificate + certPEM(t, two)), "",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			at, v := newClock(), mount(row.before)
			keys := keyring.New(v, keyring.Settings{Parts: row.parts, Now: at.Now})
			before, err := keys.Ring()
			require.NoError(t, err)
			project(v, "2", row.after)
			at.advance(keyring.DefaultTTL)
			after, err := keys.Ring()
			require.NoError(t, err)
			if row.want == "" {
				require.NoError(t, keys.Status().Err)
				assert.Equal(t, "..2", after.Version())
				return
			}
			assert.Same(t, before, after)
			got, ok := errors.AsType[*keyring.ReadError](keys.Status().Err)
			require.True(t, ok)
			assert.Equal(t, keyring.Reused, got.Problem)
			assert.Equal(t, row.want, got.File)
			assert.Equal(t, "r1", got.ID)
		})
	}
}

// TestSamePointer re-reads a folder without versions after each change that counts.
func TestSamePointer(t *testing.T) {
	at, files := newClock(), folder(phases[1])
	keys := keyring.New(files, keyring.Settings{Now: at.Now})
	demand := func() *keyring.Ring {
		at.advance(keyring.DefaultTTL)
		ring, err := keys.Ring()
		require.NoError(t, err)
		require.NoError(t, keys.Status().Err)
		return ring
	}
	ring := demand()
	assert.Same(t, ring, demand())
	for _, change := range []func(){
		func() { files["r3.key"] = files["r2.key"] },
		func() { files["a.txt"] = files["r2.key"] },
		func() { delete(files, "r3.key") },
		func() {
			files["r1.key"], files["r2.key.primary"] = files["r1.key.primary"], files["r2.key"]
			delete(files, "r1.key.primary")
			delete(files, "r2.key")
		},
	} {
		change()
		next := demand()
		assert.NotSame(t, ring, next)
		ring = next
	}
	assert.Equal(t, "r1 r2*", ring.String())
}

// gate is a volume whose lists wait at a gate.
type gate struct {
	*credential.Volume
	lists   atomic.Int64
	arrived chan struct{}
	open    chan struct{}
}

func newGate() *gate {
	return &gate{
		Volume: mount(phases[0]), arrived: make(chan struct{}, 100), open: make(chan struct{}, 100),
	}
}

func (g *gate) ReadDir(name string) ([]fs.DirEntry, error) {
	g.lists.Add(1)
	g.arrived <- struct{}{}
	<-g.open
	return g.Volume.ReadDir(name)
}

// TestOneReads has 50 callers that all find no ring before the first read goes on. One reads, and
// the others wait for what it finds: a ring, or an error in spite of which a demand would read.
func TestOneReads(t *testing.T) {
	for name, files := range map[string]map[string]string{"good": phases[0], "bad": {}} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			project(g.Volume, "2", files)
			var found, callers sync.WaitGroup
			rings, errs := make([]*keyring.Ring, 50), make([]error, 50)
			found.Add(len(rings))
			keys := keyring.New(g, keyring.Settings{Retry: -1, Now: func() time.Time {
				found.Done()
				return start
			}})
			for i := range rings {
				callers.Go(func() { rings[i], errs[i] = keys.Ring() })
			}
			found.Wait()
			for range rings {
				g.open <- struct{}{}
			}
			callers.Wait()
			assert.Equal(t, int64(1), g.lists.Load())
			for i := range rings {
				require.Same(t, rings[0], rings[i])
				require.Equal(t, errs[0], errs[i])
			}
			assert.Equal(t, name == "good", rings[0] != nil)
			assert.Equal(t, name == "bad", errs[0] != nil)
		})
	}
}

// TestOthersAreServed has one caller stuck in a read, of a disk that hangs say, while others go on
// with the ring in use.
func TestOthersAreServed(t *testing.T) {
	g, at := newGate(), newClock()
	g.open <- struct{}{}
	keys := keyring.New(g, keyring.Settings{Now: at.Now})
	old, err := keys.Ring()
	require.NoError(t, err)
	<-g.arrived
	project(g.Volume, "2", phases[1])
	at.advance(keyring.DefaultTTL)

	var reader sync.WaitGroup
	var fresh *keyring.Ring
	reader.Go(func() { fresh, _ = keys.Ring() })
	<-g.arrived
	for range 50 {
		ring, ringErr := keys.Ring()
		require.NoError(t, ringErr)
		assert.Same(t, old, ring)
	}
	g.open <- struct{}{}
	reader.Wait()
	assert.Equal(t, "r1* r2", fresh.String())
	ring, err := keys.Ring()
	require.NoError(t, err)
	assert.Same(t, fresh, ring)
	assert.Equal(t, int64(2), g.lists.Load())
}

// TestPanicLeavesNoLock has a Check that panics once.
func TestPanicLeavesNoLock(t *testing.T) {
	calls := 0
	keys := keyring.New(mount(phases[0]), keyring.Settings{
		Now: newClock().Now,
		Check: func(keyring.Key) error {
			if calls++; calls == 1 {
				panic("check")
			}
			return nil
		},
	})
	assert.Panics(t, func() { _, _ = keys.Ring() })
	ring, err := keys.Ring()
	require.NoError(t, err)
	assert.Equal(t, "r1*", ring.String())
}

// TestSystemClock is the one test with the clock that programs have.
func TestSystemClock(t *testing.T) {
	keys := keyring.New(mount(phases[0]), keyring.Settings{})
	_, err := keys.Ring()
	require.NoError(t, err)
	_, err = keys.Ring()
	require.NoError(t, err)
	status := keys.Status()
	assert.Equal(t, 1, status.Reads)
	assert.Equal(t, keyring.DefaultTTL, status.Due.Sub(status.Read))
}
