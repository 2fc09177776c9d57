package scenarios

// The ways to spoil a key ring.
const (
	TwoPrimaries = "two-primaries"
	NoPrimary    = "no-primary"
	HalfWritten  = "half-written"
)

// KeySpoiling writes a Secret so that it is no key ring: with a new key that is primary beside the
// one that was, with no primary at all, or with a new key of which the files are not all there yet.
// Consumers that have read a good ring keep it, those that start meanwhile have none.
//
// Proof: the Secret was written so, and written back at the end.
type KeySpoiling struct {
	// Secret is the Secret's name, or namespace/name.
	Secret string `json:"secret"`
	// How is two-primaries, no-primary or half-written.
	How string `json:"how" enum:"two-primaries|no-primary|half-written"`
	// For is how long until the last good content is written back, default 0s: never.
	For Duration `json:"for,omitempty"`
}

func (f *KeySpoiling) check(c *checker, path string) {
	c.keys(path+".secret", f.Secret)
	c.notNegative(path+".for", f.For)
}

func (f *KeySpoiling) expand(e *expansion) {
	secret := qualify(DefaultNamespace, f.Secret)
	what := map[string]string{
		TwoPrimaries: "mark a second key of " + secret + " as primary",
		NoPrimary:    "leave no key of " + secret + " marked as primary",
		HalfWritten:  "write a new primary of " + secret + " by half",
	}[f.How]
	e.add(0, "spoil", Action{
		Verb: SpoilKeys, Secrets: []string{secret}, Mode: f.How, Note: what,
	})
	if f.For > 0 {
		e.add(f.For, "mend", Action{
			Verb: MendKeys, Secrets: []string{secret},
			Note: "write the last good keys of " + secret + " back",
		})
	}
}
