package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certquake/certquake/workloads/token"
)

// defaultLeeway is that of go-jose, and about that of most libraries.
const defaultLeeway = time.Minute

func (t *TokenVerifier) pods() int      { return t.Replicas }
func (t *TokenVerifier) secret() string { return t.Secret }

func (t *TokenVerifier) check(c *checker, path string) {
	if t.Leeway != nil {
		c.notNegative(path+".leeway", *t.Leeway)
	}
	c.exactlyOne(path, "secret", t.Secret != "", "jwks", t.JWKS != nil)
	if t.JWKS == nil {
		c.keyReload(path, t.KeyringTTL, t.ReadOnce)
		return
	}
	if t.KeyringTTL != 0 || t.ReadOnce {
		c.problem(path, "has a key ring's settings and a jwks", "leave keyringTTL and readOnce out")
	}
	t.JWKS.check(c, path+".jwks")
}

func (j *JWKS) check(c *checker, path string) {
	source := c.workload(path+".from", j.From)
	switch {
	case source == nil:
	case source.TokenIssuer == nil:
		c.problem(path+".from", j.From+" is no tokenIssuer",
			"name the workload that signs")
	case c.complete && c.s.World.algorithmOf(source.keySecret()) == string(token.HS256):
		c.problem(path+".from", j.From+" signs with a secret, which is in no JWKS",
			"have its RotatingSecret generate rsa, ec or ed25519, or mount the secret")
	}
	sound := true
	for _, name := range []string{"maxAge", "cooldown", "interval", "retry", "policy"} {
		sound = sound && c.sound(path+"."+name)
	}
	if !sound {
		return
	}
	preset, named := jwksPresets()[j.Policy]
	if named {
		if j.MaxAge != 0 || j.Cooldown != 0 || j.Interval != 0 || j.Retry != 0 || j.DropStale {
			c.problem(path, j.Policy+" has its own durations", "leave them out, or use policy "+
				string(preset.Kind))
		}
		return
	}
	if err := j.policy().Check(); err != nil {
		c.problem(path, strings.TrimPrefix(err.Error(), "policy "), "")
	}
}

// jwksPresets returns the policies of real verifiers by the names that scenarios have for them.
func jwksPresets() map[string]token.Policy {
	return map[string]token.Policy{
		"go-oidc": token.GoOIDC(), "panva-jose": token.PanvaJose(), "smallrye": token.SmallRye(),
		"envoy": token.Envoy(), "lestrrat-jwx": token.LestrratJWX(),
	}
}

// policy returns when keys are fetched again.
func (j *JWKS) policy() token.Policy {
	if preset, ok := jwksPresets()[j.Policy]; ok {
		return preset
	}
	return token.Policy{
		Kind: token.PolicyKind(j.Policy), MaxAge: j.MaxAge.std(), Cooldown: j.Cooldown.std(),
		Interval: j.Interval.std(), Retry: j.Retry.std(), DropStale: j.DropStale,
	}
}

// keySecret returns the Secret whose keys the workload has, "" if it mounts none.
func (w *Workload) keySecret() string {
	_, kind := w.kinds()
	if kind == nil || kind.secret() == "" {
		return ""
	}
	return qualify(orDefault(w.Namespace, DefaultNamespace), kind.secret())
}

func (t *TokenVerifier) plan(plan *Plan, w *Workload) Consumer {
	group := TokenGroup{Role: Verifies, Leeway: defaultLeeway}
	if t.Leeway != nil {
		group.Leeway = t.Leeway.std()
	}
	if t.JWKS == nil {
		group.Consumer = keyConsumer(w, t.Secret, t.KeyringTTL, t.ReadOnce)
		group.Algorithm = plan.World.algorithmOf(group.Secret)
	} else {
		policy := t.JWKS.policy()
		group.Consumer = Consumer{
			Workload: w.Name, Namespace: orDefault(w.Namespace, DefaultNamespace),
		}
		group.JWKS = &JWKSGroup{
			From: t.JWKS.From, Kind: string(policy.Kind), MaxAge: policy.MaxAge,
			Cooldown: policy.Cooldown, Interval: policy.Interval, Retry: policy.Retry,
			DropStale: policy.DropStale,
		}
	}
	plan.Tokens = append(plan.Tokens, group)
	return group.Consumer
}

// resolveJWKS gives verifiers that fetch keys the algorithm of those who sign.
func (p *Plan) resolveJWKS() {
	for i := range p.Tokens {
		group := &p.Tokens[i]
		if group.JWKS == nil {
			continue
		}
		if from := p.TokensOf(group.JWKS.From); from != nil {
			group.Algorithm = from.Algorithm
		}
	}
}

// Policy returns when keys are fetched again, for package token.
func (j *JWKSGroup) Policy() token.Policy {
	return token.Policy{
		Kind: token.PolicyKind(j.Kind), MaxAge: j.MaxAge, Cooldown: j.Cooldown,
		Interval: j.Interval, Retry: j.Retry, DropStale: j.DropStale,
	}
}

// tokenLoad checks that a load of requests is from issuers to verifiers that can be theirs.
func (c *checker) tokenLoad(path string, source *Workload, to []string) {
	for i, name := range to {
		target := c.s.workloadNamed(name)
		if target == nil {
			continue // reported already
		}
		at := fmt.Sprintf("%s.to[%d]", path, i)
		verifier := target.TokenVerifier
		switch {
		case verifier == nil:
			c.problem(at, name+" is no tokenVerifier",
				"requests carry tokens: name those who verify them")
		case verifier.JWKS != nil && verifier.JWKS.From != source.Name:
			c.problem(at, fmt.Sprintf("%s has the keys of %s, not of %s", name,
				verifier.JWKS.From, source.Name), "")
		case verifier.JWKS == nil && c.complete && verifier.Secret != "" &&
			target.keySecret() != source.keySecret():
			c.problem(at, fmt.Sprintf("%s has the keys of Secret %s, not of %s", name,
				target.keySecret(), source.keySecret()), "")
		}
	}
}

// keys checks that a RotatingSecret writes the Secret.
func (c *checker) keys(path, name string) {
	full := qualify(DefaultNamespace, name)
	if name == "" || !c.complete || c.s.World.RotatingSecretOf(full) != nil {
		return
	}
	c.problem(path, "no RotatingSecret writes the Secret "+full,
		didYouMeanOr(full, "Secret", c.s.World.rotatingNames()))
}

// tokenKeys checks that a workload of tokens can sign and verify with the keys of its Secret.
func (c *checker) tokenKeys(path, secret string) {
	c.keys(path, secret)
	if c.complete && c.s.World.RotatingSecretOf(secret) != nil &&
		c.s.World.algorithmOf(secret) == "" {
		c.problem(path, "no token can be signed with the keys of "+secret,
			"have its RotatingSecret generate rsa, ec with curve P-256, ed25519, or symmetric of "+
				"32 bytes or more")
	}
}

// rotatingNames returns the names of the Secrets that RotatingSecrets write, for hints.
func (w *World) rotatingNames() []string {
	names := make([]string, 0, len(w.RotatingSecrets))
	for i := range w.RotatingSecrets {
		names = append(names, RotatedBy(&w.RotatingSecrets[i]))
	}
	return slices.Clip(names)
}
