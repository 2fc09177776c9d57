package scenarios

// KeyRotation orders a rotation of a RotatingSecret at once, as a change of orders.rotate does: its
// operator publishes a new key, has it sign, and removes the old one, each after the time that the
// RotatingSecret says. It can be rolled back: the key that is primary then gives way to the one
// before it, as orders.reject has it.
//
// Proof: the Secret was written with a new key; for the rollback, with the key before as primary.
type KeyRotation struct {
	// Secret is the Secret's name, or namespace/name.
	Secret string `json:"secret"`
	// RollbackAfter is how long after the order the primary key is rejected, default 0s: never.
	RollbackAfter Duration `json:"rollbackAfter,omitempty"`
}

func (f *KeyRotation) check(c *checker, path string) {
	c.keys(path+".secret", f.Secret)
	c.notNegative(path+".rollbackAfter", f.RollbackAfter)
}

func (f *KeyRotation) expand(e *expansion) {
	secret := qualify(DefaultNamespace, f.Secret)
	e.add(0, "rotate", Action{
		Verb: RotateKeys, Secrets: []string{secret}, Note: "order a new key for " + secret,
	})
	if f.RollbackAfter > 0 {
		e.add(f.RollbackAfter, "reject", Action{
			Verb: RejectKey, Secrets: []string{secret},
			Note: "have the primary key of " + secret + " give way to the one before",
		})
	}
}
