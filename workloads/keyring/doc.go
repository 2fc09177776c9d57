// Package keyring reads rotating keys from a folder of files, usually a mounted Kubernetes Secret,
// by a convention that needs no tooling: every key has an id, and exactly one key is primary.
//
//	r1.key            a key: it verifies and decrypts
//	r2.key.primary    the primary key: it also signs and encrypts
//	r2.private.primary, r2.public, r2.crt    a key in several parts
//
// Keep a Keyring for the life of the process and ask it at each use:
//
//	keys := keyring.New(os.DirFS("/var/run/secrets/jwt"), keyring.Settings{})
//	ring, err := keys.Ring() // re-read when the last read is 5 minutes old
//	ring.Primary()           // sign or encrypt with it, and send its ID along
//	ring.Key(id)             // verify or decrypt with the key of that ID; refuse an unknown one
//
// A key is replaced in three writes of the Secret, the star being the primary:
//
//	r1*  ->  r1*, r2  ->  r1, r2*  ->  r2*
//
// Before r2 becomes primary, everybody must have read it: wait the delivery, which takes a kubelet
// 90 s at most as it is set by default, and a TTL. Before r1 goes, wait as long again, for those
// that still sign with it, and then the life of what they signed. An id is never used again for
// another key.
//
// What consumers must do: mount the Secret as a folder, since neither environment variables nor
// subPath mounts follow it; ask for the ring at each use and never keep a key; watch
// Keyring.Status, because a ring that cannot be read is reported there and the last good one stays
// in use.
//
// A read is of one projection of the volume: it resolves the kubelet's ..data link once, and starts
// over if the link was swapped meanwhile. A folder without that link is read as it is. No key
// material is in an error, nor in what printers, loggers and encoders make of a Key or a Ring. The
// package needs the standard library only, reads no environment and starts no goroutine.
package keyring
