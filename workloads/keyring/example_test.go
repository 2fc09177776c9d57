package keyring_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing/fstest"
	"time"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
)

// A program keeps one Keyring, and asks it for the ring at each use.
func Example() {
	secret := fstest.MapFS{ // os.DirFS("/var/run/secrets/session") in a pod
		"r1.key":         {Data: []byte("an old key of thirty-two bytes..")},
		"r2.key.primary": {Data: []byte("the primary of thirty-two bytes.")},
	}
	keys := keyring.New(secret, keyring.Settings{})

	sign := func(message string) (id string, mac []byte, err error) {
		ring, err := keys.Ring()
		if err != nil {
			return "", nil, err
		}
		hash := hmac.New(sha256.New, ring.Primary().Symmetric())
		hash.Write([]byte(message))
		return ring.Primary().ID, hash.Sum(nil), nil
	}
	verify := func(id, message string, mac []byte) (bool, error) {
		ring, err := keys.Ring()
		if err != nil {
			return false, err
		}
		key, ok := ring.Key(id)
		hash := hmac.New(sha256.New, key.Symmetric())
		hash.Write([]byte(message))
		return ok && hmac.Equal(mac, hash.Sum(nil)), nil
	}

	id, mac, _ := sign("hello")
	good, _ := verify(id, "hello", mac)
	unknown, _ := verify("r3", "hello", mac)
	fmt.Println(id, good, unknown)
	// Output: r2 true false
}

// A Secret goes through three writes. Nobody who re-reads in time ever meets an unknown id.
func Example_rotation() {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	volume := credential.NewVolume() // a Secret volume in memory
	keys := keyring.New(volume, keyring.Settings{Now: func() time.Time { return now }})
	one, two := []byte("one"), []byte("two")
	for version, files := range []map[string][]byte{
		{"r1.key.primary": one},
		{"r1.key.primary": one, "r2.key": two},
		{"r1.key": one, "r2.key.primary": two},
		{"r2.key.primary": two},
	} {
		volume.Project(fmt.Sprint("v", version), files)
		ring, _ := keys.Ring()
		fmt.Printf("%-8v sign with %s\n", ring, ring.Primary())
		now = now.Add(keyring.DefaultTTL)
	}
	// Output:
	// r1*      sign with r1
	// r1* r2   sign with r1
	// r1 r2*   sign with r2
	// r2*      sign with r2
}

// A ring that cannot be read is reported, and the last good one stays in use.
func ExampleKeyring_Status() {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	secret := fstest.MapFS{"r1.key.primary": {Data: []byte("one")}}
	keys := keyring.New(secret, keyring.Settings{Now: func() time.Time { return now }})
	_, _ = keys.Ring()

	secret["r2.key.primary"] = &fstest.MapFile{Data: []byte("two")} // r1 should have been renamed
	now = now.Add(keyring.DefaultTTL)
	ring, err := keys.Ring()
	fmt.Println(ring, err)

	status := keys.Status()
	fmt.Println(status.Err)
	if problem, ok := errors.AsType[*keyring.ReadError](status.Err); ok {
		fmt.Println(problem.Problem, problem.ID, status.Due.Sub(status.Read))
	}
	// Output:
	// r1* <nil>
	// read "r2.key.primary": two-primaries: r1 is primary too: leave one
	// two-primaries r2 1s
}

// Those who verify ask for public parts alone, from the Secret of those who sign or from their own,
// and refuse keys that are too weak.
func ExampleSettings() {
	keys := keyring.New(os.DirFS("testdata/does-not-exist"), keyring.Settings{
		Parts: []keyring.Part{keyring.Public},
		TTL:   time.Minute,
		Check: func(key keyring.Key) error {
			if public, ok := key.Public().(*rsa.PublicKey); ok && public.Size() < 256 {
				return errors.New("want 2048 bits")
			}
			return nil
		},
	})
	_, err := keys.Ring()
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output: true
}
