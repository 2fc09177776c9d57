package scenarios

import (
	"fmt"
	"time"

	"github.com/certquake/certquake/workloads/rotation"
	"github.com/certquake/certquake/workloads/token"
)

func (t *TokenIssuer) pods() int      { return t.Replicas }
func (t *TokenIssuer) secret() string { return t.Secret }

func (t *TokenIssuer) check(c *checker, path string) {
	c.keyReload(path, t.KeyringTTL, t.ReadOnce)
	c.notNegative(path+".tokenTTL", t.TokenTTL)
	c.notNegative(path+".reuse", t.Reuse)
	if t.TokenTTL == 0 && c.given(path+".tokenTTL") {
		c.problem(path+".tokenTTL", "0s is not positive", "")
	}
	if ttl := t.ttl(); t.TokenTTL > 0 && ttl < time.Second {
		c.problem(path+".tokenTTL", fmt.Sprintf("%s is less than 1s", t.TokenTTL),
			"dates in tokens are whole seconds")
	}
	if t.Reuse.std() > t.ttl() {
		c.problem(path+".reuse", fmt.Sprintf("%s is more than the token's life of %s", t.Reuse,
			Duration(t.ttl())), "callers ask for a new token before the old one expires")
	}
}

// keyReload checks when a key ring is read again.
func (c *checker) keyReload(path string, ttl Duration, once bool) {
	c.notNegative(path+".keyringTTL", ttl)
	switch {
	case ttl == 0 && c.given(path+".keyringTTL"):
		c.problem(path+".keyringTTL", "0s is not positive", "1ms reads at every use")
	case ttl != 0 && once:
		c.problem(path+".keyringTTL", "has no effect with readOnce", "leave it out")
	}
}

func (t *TokenIssuer) ttl() time.Duration {
	if t.TokenTTL == 0 {
		return token.DefaultTTL
	}
	return t.TokenTTL.std()
}

func (t *TokenIssuer) plan(plan *Plan, w *Workload) Consumer {
	group := TokenGroup{
		Consumer: keyConsumer(w, t.Secret, t.KeyringTTL, t.ReadOnce), Role: Issues,
		TTL: t.ttl(), Reuse: t.Reuse.std(),
	}
	if t.Reuse == 0 {
		group.Reuse = group.TTL
	}
	group.Algorithm = plan.World.algorithmOf(group.Secret)
	plan.Tokens = append(plan.Tokens, group)
	return group.Consumer
}

// keyConsumer returns what a workload that mounts a key ring does about it: as package keyring.
func keyConsumer(w *Workload, secret string, ttl Duration, once bool) Consumer {
	namespace := orDefault(w.Namespace, DefaultNamespace)
	c := Consumer{
		Workload: w.Name, Namespace: namespace, Secret: qualify(namespace, secret),
		Policy: "lazy-ttl", Every: ttl.std(), KeepLastGood: true, Pinned: true,
	}
	switch {
	case once:
		c.Policy, c.Every = "start-up", 0
	case ttl == 0:
		c.Every = defaultTTL
	}
	return c
}

// algorithmOf returns the algorithm of tokens that are signed with keys of the Secret; "" if there
// is none for such keys.
func (w *World) algorithmOf(secret string) string {
	rotating := w.RotatingSecretOf(secret)
	if rotating == nil {
		return ""
	}
	spec, _ := rotating.Spec.Rotation()
	switch key := spec.Generate; {
	case key.Kind == rotation.Symmetric && key.Length >= minHMAC:
		return string(token.HS256)
	case key.Kind == rotation.RSA:
		return string(token.RS256)
	case key.Kind == rotation.EC && key.Curve == rotation.P256:
		return string(token.ES256)
	case key.Kind == rotation.Ed25519:
		return string(token.EdDSA)
	}
	return ""
}

// minHMAC is how long a secret for HS256 must be (RFC 7518, section 3.2), in bytes.
const minHMAC = 32
