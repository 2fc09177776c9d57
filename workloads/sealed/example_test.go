package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

func Example() {
	keys := keyring.New(folderOf("r1", "r2*"), keyring.Settings{}) // os.DirFS in a pod
	ring, _ := keys.Ring()
	text, _ := sealed.Seal(ring.Primary(), []byte("hello"), nil)
	id, _ := sealed.KeyID(text)
	plaintext, _ := sealed.Open(ring, text)
	fmt.Println(id, string(plaintext))
	// Output: r2 hello
}

// A key is dropped once Migrate returned without an error.
func ExampleMigrate() {
	dir, _ := os.MkdirTemp("", "sealed")
	defer func() { _ = os.RemoveAll(dir) }()
	store, _ := sealed.OpenStore(filepath.Join(dir, "store"))
	defer func() { _ = store.Close() }()

	old, _ := keyring.Read(folderOf("r1*", "r2"), keyring.Settings{})
	text, _ := sealed.Seal(old.Primary(), []byte("hello"), nil)
	_ = store.Put(sealed.Record{ID: "greeting", Sealed: text})

	keys := keyring.New(folderOf("r1", "r2*"), keyring.Settings{})
	report, err := sealed.Migrate(context.Background(), store, keys.Ring, "r1", sealed.Options{})
	fmt.Println(report.Migrated, "migrated,", report.Left, "left, retired:", report.Retired, err)

	err = store.Put(sealed.Record{ID: "greeting", Sealed: text}) // a writer with the old ring
	if problem, ok := errors.AsType[*sealed.Error](err); ok {
		fmt.Println(problem.Problem, problem.KeyID)
	}
	// Output:
	// 1 migrated, 0 left, retired: true <nil>
	// retired r1
}

// Before a key is dropped, the store says what that would lose.
func ExampleStore_Lost() {
	dir, _ := os.MkdirTemp("", "sealed")
	defer func() { _ = os.RemoveAll(dir) }()
	store, _ := sealed.OpenStore(filepath.Join(dir, "store"))
	defer func() { _ = store.Close() }()

	now, _ := keyring.Read(folderOf("r1*", "r2"), keyring.Settings{})
	text, _ := sealed.Seal(now.Primary(), []byte("hello"), nil)
	_ = store.Put(sealed.Record{ID: "a", Sealed: text}, sealed.Record{ID: "b", Sealed: text})

	without, _ := keyring.Read(folderOf("r2*"), keyring.Settings{})
	lost, err := store.Lost(without)
	fmt.Println(lost, err)
	// Output: 2 <nil>
}
