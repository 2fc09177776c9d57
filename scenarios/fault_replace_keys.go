package scenarios

// KeyReplacement writes one new key in the place of all that a Secret holds, in one write: what it
// signed before is of a key that is gone. So do a changed service-account key, a password that is
// set anew and whoever edits a Secret by hand. It can be rolled back in the same way: what the
// Secret held before is then written in the place of the new key, and what that signed has no key
// any more.
//
// Proof: the Secret was written with the new key alone; for the rollback, with what it held before.
type KeyReplacement struct {
	// Secret is the Secret's name, or namespace/name.
	Secret string `json:"secret"`
	// RollbackAfter is how long after it the old keys are written back, default 0s: never.
	RollbackAfter Duration `json:"rollbackAfter,omitempty"`
}

func (f *KeyReplacement) check(c *checker, path string) {
	c.keys(path+".secret", f.Secret)
	c.notNegative(path+".rollbackAfter", f.RollbackAfter)
}

func (f *KeyReplacement) expand(e *expansion) {
	secret := qualify(DefaultNamespace, f.Secret)
	e.add(0, "replace", Action{
		Verb: ReplaceKeys, Secrets: []string{secret},
		Note: "write one new key in the place of all of " + secret,
	})
	if f.RollbackAfter > 0 {
		e.add(f.RollbackAfter, "rollback", Action{
			Verb: MendKeys, Secrets: []string{secret},
			Note: "write the old keys of " + secret + " back in its place",
		})
	}
}
