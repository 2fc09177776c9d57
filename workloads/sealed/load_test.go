package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

const (
	loadRecords = 1500
	loadWriters = 4
	loadBatch   = 50
)

// load is what goes on beside a migration.
type load struct {
	store   *sealed.Store
	current *keyring.Ring                    // what a writer reads when it is refused
	written [loadRecords]atomic.Int64        // the version that Put has returned for
	wrote   chan struct{}                    // taken by the migration between batches
	done    chan struct{}                    // closed to end
	refused [loadWriters]int                 // how often, by writer
	under   [loadWriters]map[string]struct{} // the ids of keys that a writer used
}

func versionOf(record int, version int64) string {
	return fmt.Sprintf("%d in version %d", record, version)
}

// write writes new versions of the records that are this writer's own, under the primary key of a
// ring that is out of date if it is stale.
func (l *load) write(writer int, ring *keyring.Ring) error {
	dice := rand.New(rand.NewPCG(1, uint64(writer)))
	l.under[writer] = map[string]struct{}{}
	for version := int64(1); ; version++ {
		record := dice.IntN(loadRecords/loadWriters)*loadWriters + writer
		text, err := sealed.Seal(ring.Primary(), []byte(versionOf(record, version)), nil)
		if err != nil {
			return err
		}
		err = l.store.Put(sealed.Record{ID: recordOf(record), Sealed: text})
		if bad, ok := errors.AsType[*sealed.Error](err); ok && bad.Problem == sealed.Retired {
			l.refused[writer]++
			ring = l.current
			continue
		}
		if err != nil {
			return err
		}
		l.under[writer][ring.Primary().ID] = struct{}{}
		l.written[record].Store(version)
		select {
		case l.wrote <- struct{}{}:
		case <-l.done:
			return nil
		}
	}
}

// read reads records: none is ever older than what was written before the read began.
func (l *load) read(reader int) error {
	dice := rand.New(rand.NewPCG(2, uint64(reader)))
	for {
		select {
		case <-l.done:
			return nil
		default:
		}
		record := dice.IntN(loadRecords)
		least := l.written[record].Load()
		text, err := l.store.Get(recordOf(record))
		if err != nil {
			return err
		}
		plaintext, err := sealed.Open(l.current, text)
		if err != nil {
			return err
		}
		var of int
		var version int64
		if _, err = fmt.Sscanf(string(plaintext), "%d in version %d", &of, &version); err != nil {
			return err
		}
		if of != record || version < least {
			return fmt.Errorf("record %d, at least in version %d: %s", record, least, plaintext)
		}
	}
}

// Readers and writers, two of these with an old ring, go on while a migration runs. Nothing that
// was written is undone, nothing is unreadable at any time, and the migration ends although records
// keep coming in under the old key. Those with the old ring are refused then, and no sooner.
func TestMigrateUnderLoad(t *testing.T) {
	t.Parallel()
	old := ringOf(t, "r1*", "r2")
	l := &load{
		store: newStore(t), current: ringOf(t, "r1", "r2*"),
		wrote: make(chan struct{}), done: make(chan struct{}),
	}
	var records []sealed.Record
	for i := range loadRecords {
		text := seal(t, old, versionOf(i, 0))
		records = append(records, sealed.Record{ID: recordOf(i), Sealed: text})
	}
	require.NoError(t, l.store.Put(records...))

	var group sync.WaitGroup
	errs := make(chan error, 2*loadWriters)
	for i := range loadWriters {
		ring := l.current
		if i%2 == 1 {
			ring = old
		}
		group.Go(func() { errs <- l.write(i, ring) })
		group.Go(func() { errs <- l.read(i) })
	}
	report, err := sealed.Migrate(t.Context(), l.store, fixed(l.current), "r1", sealed.Options{
		Batch: loadBatch,
		After: func(ctx context.Context, _ sealed.Report) error {
			for range loadWriters {
				select {
				case <-l.wrote:
				case err := <-errs:
					return fmt.Errorf("ended too soon: %w", err)
				}
			}
			return ctx.Err()
		},
	})
	close(l.done)
	group.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, err)
	assert.True(t, report.Retired)
	for i := range loadWriters {
		assert.LessOrEqual(t, l.refused[i], i%2, "a writer with an old ring, and once")
		_, stale := l.under[i]["r1"]
		assert.Equal(t, i%2 == 1, stale)
	}
	assert.Positive(t, l.refused[1]+l.refused[3])
	after := ringOf(t, "r2*")
	audit := requireWhole(t, l.store, after)
	assert.Equal(t, map[string]uint64{"r2": loadRecords}, audit.Under)
	for i := range loadRecords {
		require.Equal(t, versionOf(i, l.written[i].Load()), read(t, l.store, after, recordOf(i)))
	}
}

// Of the Puts that race with Retire, each is either counted before it or refused after it.
func TestRetireAgainstLateWriters(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "r1*")
	text := seal(t, ring, "x")
	store := newStore(t)
	store.Hurry()
	for round := range 50 {
		keyID := fmt.Sprint("k", round)
		under := keyID + text[len("r1"):]
		var group sync.WaitGroup
		var retire error
		var put [4]error
		start := make(chan struct{})
		for i := range put {
			group.Go(func() {
				<-start
				put[i] = store.Put(sealed.Record{ID: recordOf(i), Sealed: under})
			})
		}
		group.Go(func() {
			<-start
			retire = store.Retire(keyID)
		})
		close(start)
		group.Wait()
		use, err := store.Use(keyID)
		require.NoError(t, err)
		require.Equal(t, retire == nil, use.Retired)
		for _, err := range put {
			require.Equal(t, retire == nil, err != nil)
		}
		require.Equal(t, retire == nil, use.Records == 0)
	}
}
