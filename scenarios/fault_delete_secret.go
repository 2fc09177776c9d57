package scenarios

// DeleteSecret deletes a Secret, and after a time creates it again with its last content unless
// cert-manager already has. Running pods keep their files; pods started meanwhile wait.
//
// Proof: the Secret was seen to be gone.
type DeleteSecret struct {
	// Secret is the Secret's name, or namespace/name.
	Secret string `json:"secret"`
	// For is how long, default 0s: never created again by certquake.
	For Duration `json:"for,omitempty"`
}

func (f *DeleteSecret) check(c *checker, path string) {
	if c.s.World.RotatingSecretOf(qualify(DefaultNamespace, f.Secret)) == nil {
		c.secret(path+".secret", f.Secret)
	}
	c.notNegative(path+".for", f.For)
}

func (f *DeleteSecret) expand(e *expansion) {
	secret := qualify(DefaultNamespace, f.Secret)
	e.add(0, "remove", Action{
		Verb: RemoveSecret, Secrets: []string{secret}, Note: "delete the Secret " + secret,
	})
	if f.For > 0 {
		e.add(f.For, "restore", Action{
			Verb: RestoreSecret, Secrets: []string{secret},
			Note: "create the Secret " + secret + " again, unless cert-manager has",
		})
	}
}
