// Package password rotates the password of a PostgreSQL database without an outage: by two users,
// since one has one password, and a user name that is the id of a key of package keyring.
//
//	app_r1.password.primary, app_r2.password    a Secret in the middle of a rotation
//
// A client keeps a Pool. New connections are made as the user that is primary in the key ring at
// that moment; what happens to those there are is the pool's Recycle policy. Both are judged apart
// (Promise), because a session that was let in outlives its password.
//
// The driver of package rotation keeps Roles. Setup makes what all users have in common, once; from
// then on Prepare does on the server what a Decision needs there, before the Secret is written:
//
//	Create, Publish     the new user exists, with its password: Admit
//	Promote, Rollback   the user that will be primary can log in, seen by logging in: Prove
//	Retire              the old user may not log in, its sessions have ended, it is gone: Retire
//
// Users are members of one group, and act as the group from their first statement on, so whatever
// they create belongs to the group and nothing has to move from one user to the next.
//
// Each step may be cut off between any two statements and be done again. After a crash, and when
// two drivers may have run at once, Reconcile makes the server what the Secret says: the Secret is
// written last and is what counts.
//
// A clear password never gets to the server: the client of a login proves that it knows it
// (SCRAM-SHA-256 is the one method a Pool lets a server ask for), and a new one is sent as a
// Verifier. That one is in the server's log if statements are logged, and whoever has it may guess
// passwords offline; one that package rotation draws cannot be guessed. No password is in an error,
// nor in what printers make of a Pool or Roles.
//
// How long to wait. Between publish and promote lies the propagation of the Secret. Between promote
// and retire lies the propagation, and then the longest that a session lives on. With
// RecycleOnRotation that is until the next Use or Refresh, and for a connection in use until it is
// given back; with MaxLifetime it is twice that, since idle connections are looked at once in a
// MaxLifetime; with Keep it is until the process ends.
//
// Replace is the practice that all this avoids: one user, whose password changes in place. From
// then on nobody can connect who has not read the new one, however fast it is delivered.
package password
