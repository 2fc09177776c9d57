package scenarios

import (
	"fmt"
)

// TruncateBundle cuts a Secret's ca.crt down to its first certificates, as a partial write or a
// failed concatenation does.
//
// Proof: the Secret was written with fewer CAs.
type TruncateBundle struct {
	// Secret is the Secret's name, or namespace/name.
	Secret string `json:"secret"`
	// Keep is how many certificates stay; 0 leaves ca.crt empty.
	Keep int `json:"keep" min:"0"`
}

func (f *TruncateBundle) check(c *checker, path string) {
	c.secret(path+".secret", f.Secret)
}

func (f *TruncateBundle) expand(e *expansion) {
	secret := qualify(DefaultNamespace, f.Secret)
	e.add(0, "trim", Action{
		Verb: TrimBundle, Secrets: []string{secret}, Keep: f.Keep,
		Note: fmt.Sprintf("cut ca.crt of %s down to its first %d", secret, f.Keep),
	})
}
