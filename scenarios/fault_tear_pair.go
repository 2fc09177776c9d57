package scenarios

// TearPair writes a new leaf into a Secret's tls.crt but leaves the old tls.key, as writers do
// that update the two separately.
//
// Proof: the Secret was written with a leaf that does not fit its key.
type TearPair struct {
	// Secret is the Secret's name, or namespace/name.
	Secret string `json:"secret"`
	// For is how long until the last matching pair is written back, default 0s: never.
	For Duration `json:"for,omitempty"`
}

func (f *TearPair) check(c *checker, path string) {
	c.secret(path+".secret", f.Secret)
	c.notNegative(path+".for", f.For)
}

func (f *TearPair) expand(e *expansion) {
	secret := qualify(DefaultNamespace, f.Secret)
	e.add(0, "tear", Action{
		Verb: WriteTornPair, Secrets: []string{secret},
		Note: "write a new tls.crt into " + secret + " but leave its tls.key",
	})
	if f.For > 0 {
		e.add(f.For, "mend", Action{
			Verb: RestorePair, Secrets: []string{secret},
			Note: "write the last matching pair of " + secret + " back",
		})
	}
}
