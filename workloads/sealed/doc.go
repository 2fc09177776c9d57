// Package sealed keeps data encrypted at rest while its keys rotate, the keys being those of
// package keyring. A sealed text says which key opens it:
//
//	<keyid>:<base64 iv>:<base64 ciphertext>
//
// It is AES-256-GCM: a key of exactly 32 bytes; a random IV of 12 bytes; the bytes of <keyid> as
// additional authenticated data; the tag of 16 bytes behind the ciphertext, as most libraries have
// it. The base64 is the standard alphabet with padding (RFC 4648, section 4) and in its one
// canonical form, so a text has no second spelling. testdata/vectors.json has known answers for
// other languages, and testdata/verify.py is a reader of them in Python.
//
//	ring, err := keys.Ring()                             // of a *keyring.Keyring, at each use
//	text, err := sealed.Seal(ring.Primary(), data, nil)  // under the primary key
//	data, err := sealed.Open(ring, text)                 // under whichever key it names
//
// A Store keeps sealed texts in a file by the ids of records, and knows exactly how many are under
// which key. Before a key is dropped, Migrate seals anew all that is under it, beside readers and
// writers, and retires it: in one transaction it finds that no record is left and makes the store
// refuse to take another. That is the proof; Audit looks at every record for those who want more.
// So a rotation of data at rest has a step more than one of what is only in flight:
//
//	r1*  ->  r1*, r2  ->  r1, r2*  ->  Migrate from r1  ->  r2*
//
// Begin it once everybody has read the ring in which r2 is primary. A writer with an older ring is
// refused from then on (Retired): it has to read the folder again, and to wait if r1 is still
// primary there. Retiring is for good, as an id is never used again, so do not go back to r1.
//
// What is not promised. The id of a record is not authenticated: who can write to the file can put
// one record's text in place of another's, or an older one back. The proof is about the records of
// one store: copies of its file, its unused pages too, hold texts under r1, which nobody can read
// once r1 is gone; a backup that is to be of use needs its keys, and one taken before has r1 not
// retired. A file is open in one process at a time. With random IVs a key is good for MessagesMax
// texts (NIST SP 800-38D, 8.3), in all stores together; Store.Use tells how many this one took.
//
// No error holds key material, plaintext or a record's id. The package reads no clock and no
// environment, and starts no goroutine of its own; the database has one for each group of Puts.
package sealed
