package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	apiutil "github.com/cert-manager/cert-manager/pkg/api/util"
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	cmpki "github.com/cert-manager/cert-manager/pkg/util/pki"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// The certManager's own times.
const (
	// issuanceTime is from a trigger to the Secret's write, the median seen for forced renewals on
	// an idle cluster.
	issuanceTime = 50 * time.Millisecond
	// backoffFirst doubles at each terminal failure up to backoffLast (cert-manager
	// internal/apis/config/controller/v1alpha1/defaults.go).
	backoffFirst = time.Hour
	backoffLast  = 32 * time.Hour
	// refusedFirst doubles each time the API refuses a write of a Certificate's controllers, up to
	// refusedLast (cert-manager pkg/controller/util.go, DefaultCertificateRateLimiter).
	refusedFirst = time.Second
	refusedLast  = 30 * time.Second
)

// issuer is an Issuer or ClusterIssuer.
type issuer struct {
	name    string
	ca      *secret // nil when self-signed
	failing bool    // requests fail terminally
	down    bool    // requests wait
}

// certificate is a Certificate and what cert-manager knows of it.
type certificate struct {
	manager  *certManager
	spec     *certmanager.Certificate
	name     string
	template *template
	secret   *secret
	issuer   *issuer

	revision int
	key      *key
	current  *cert
	renewAt  time.Duration
	issuing  bool
	pending  bool // its issuer is not ready
	failures int
	refused  int            // in a row, by the webhook that is down
	retryAt  time.Duration  // the end of the back-off, after a failure
	timer    uint64         // invalidates scheduled renewals and retries
	done     []func() error // told at the next write
}

// certManager models the controller: what triggers an issuance, what is written, and when the next
// renewal is due. A changed CA is no trigger (cert-manager#2478).
type certManager struct {
	world        *world
	pki          pki
	issuers      map[string]*issuer
	certificates map[string]*certificate
	order        []*certificate
	stopped      bool
	webhookDown  bool
}

// newCertManager takes over the plan's issuers and Certificates. Nothing is issued yet.
func newCertManager(w *world, objects scenarios.World) (*certManager, error) {
	m := &certManager{
		world: w, issuers: map[string]*issuer{}, certificates: map[string]*certificate{},
	}
	for i := range objects.Issuers {
		object := &objects.Issuers[i]
		m.addIssuer(object.Namespace+"/"+object.Name, object.Namespace, object.Spec)
	}
	for i := range objects.ClusterIssuers {
		object := &objects.ClusterIssuers[i]
		// A ClusterIssuer's Secrets live in cert-manager's cluster resource namespace.
		m.addIssuer("/"+object.Name, "cert-manager", object.Spec)
	}
	var problems []error
	for i := range objects.Certificates {
		problems = append(problems, m.addCertificate(&objects.Certificates[i], i))
	}
	return m, errors.Join(problems...)
}

func (m *certManager) addIssuer(name, namespace string, spec certmanager.IssuerSpec) {
	added := &issuer{name: name}
	if spec.CA != nil {
		added.ca = m.world.api.secret(namespace + "/" + spec.CA.SecretName)
	}
	m.issuers[name] = added
}

func (m *certManager) addCertificate(spec *certmanager.Certificate, index int) error {
	name := spec.Namespace + "/" + spec.Name
	derived, err := cmpki.CertificateTemplateFromCertificate(spec)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", name, err)
	}
	derived.SignatureAlgorithm, derived.PublicKey = 0, nil
	added := &certificate{
		manager: m, spec: spec, name: name, template: &template{id: index, x509: *derived},
		secret: m.world.api.secret(spec.Namespace + "/" + spec.Spec.SecretName),
		issuer: m.issuers[issuerName(spec.Namespace, spec.Spec.IssuerRef)],
	}
	if added.issuer == nil {
		return fmt.Errorf("certificate %s: no issuer %s", name, spec.Spec.IssuerRef.Name)
	}
	added.secret.owner = added
	m.certificates[name] = added
	m.order = append(m.order, added)
	return nil
}

func issuerName(namespace string, ref cmmeta.IssuerReference) string {
	if ref.Kind == certmanager.ClusterIssuerKind {
		return "/" + ref.Name
	}
	return namespace + "/" + ref.Name
}

// issueAll issues every Certificate at once, issuers' own first: the state at offset 0.
func (m *certManager) issueAll() error {
	for range m.order {
		for _, c := range m.order {
			if c.current != nil || !c.issuer.ready() {
				continue
			}
			if err := c.issue(); err != nil {
				return err
			}
		}
	}
	for _, c := range m.order {
		if c.current == nil {
			return fmt.Errorf("certificate %s cannot be issued: the CA Secret of issuer %s "+
				"is made by no Certificate", c.name, c.issuer.name)
		}
	}
	return nil
}

// ready reports whether the issuer can sign: a CA issuer needs its Secret.
func (i *issuer) ready() bool { return !i.down && (i.ca == nil || i.ca.content != nil) }

// stop and start take the controller down and up. As it starts it looks at every Certificate.
func (m *certManager) stop() { m.stopped = true }

func (m *certManager) start() {
	m.stopped = false
	for _, c := range m.order {
		c.refused = 0 // the queues of a new process are empty
	}
	m.goOn()
}

// halted reports whether the controller can do nothing: it is down, or the API server is.
func (m *certManager) halted() bool { return m.stopped || m.world.api.down }

// goOn looks at every Certificate, unless something else still keeps the controller from it.
func (m *certManager) goOn() {
	if m.halted() {
		return
	}
	for _, c := range m.order {
		if c.issuing {
			c.schedule(max(c.retryAt, m.world.now+issuanceTime))
		} else {
			c.reconcile()
		}
	}
}

// retryPending has Certificates wait no longer for an issuer that works again.
func (m *certManager) retryPending() {
	for _, c := range m.order {
		if c.pending && c.issuer.ready() {
			c.pending = false
			c.schedule(m.world.now + issuanceTime)
		}
	}
}

// reconcile applies cert-manager's trigger policies
// (internal/controller/certificates/policies/policies.go).
func (c *certificate) reconcile() {
	if c.manager.halted() || c.issuing || c.failures > 0 {
		return
	}
	held := c.secret.content
	switch {
	case held == nil, // SecretDoesNotExist
		held.torn(),       // SecretPublicKeysDiffer
		held.key != c.key: // SecretPublicKeyDiffersFromCurrentCertificateRequest
		c.trigger()
	case c.renewAt <= c.manager.world.now: // CurrentCertificateNearingExpiry
		c.trigger()
	}
}

// secretChanged is the watch on the Certificate's own Secret.
func (c *certificate) secretChanged() { c.reconcile() }

// trigger begins an issuance, now and without regard to any back-off, as setting the Issuing
// condition does.
func (c *certificate) trigger() {
	c.issuing, c.retryAt = true, 0
	if !c.manager.halted() {
		c.schedule(c.manager.world.now + issuanceTime)
	}
}

// schedule attempts the issuance at the offset, in place of anything scheduled before.
func (c *certificate) schedule(at time.Duration) {
	c.timer++
	timer := c.timer
	c.manager.world.at(at, func() error {
		if c.timer != timer || c.manager.halted() {
			return nil
		}
		if !c.issuing {
			c.reconcile()
			return nil
		}
		return c.attempt()
	})
}

// attempt signs, or fails as the webhook or the issuer does.
func (c *certificate) attempt() error {
	if c.manager.webhookDown {
		c.schedule(c.manager.world.now + min(refusedFirst<<min(c.refused, 5), refusedLast))
		c.refused++
		if c.refused > 1 {
			return nil // a row for each would tell nothing new
		}
		return c.note(record.NoCredential, "the webhook is down")
	}
	c.refused = 0
	if c.issuer.failing {
		c.failures++
		wait := min(backoffFirst<<min(c.failures-1, 5), backoffLast)
		c.retryAt = c.manager.world.now + wait
		c.schedule(c.retryAt)
		return c.note(record.NoCredential, "the issuer failed; next attempt in "+wait.String())
	}
	if !c.issuer.ready() {
		c.pending = true // until retryPending finds the issuer ready
		return c.note(record.NoCredential, "the issuer is not ready")
	}
	return c.issue()
}

func (c *certificate) note(outcome record.Outcome, detail string) error {
	now := c.manager.world.now
	return c.manager.world.emit(record.Span{
		Kind: record.Issue, From: now, To: now, Source: c.name, Outcome: outcome, Detail: detail,
	})
}

// issue signs a new generation and writes the whole Secret in one update.
func (c *certificate) issue() error {
	m := c.manager
	if c.key == nil || c.rotatesKey() || c.secret.content == nil { // a key lives in its Secret
		c.key = m.pki.newKey(algorithmOf(c.spec))
	}
	chain, cas := c.sign()
	c.issuing, c.failures, c.retryAt = false, 0, 0
	c.scheduleRenewal()
	if err := c.note(record.OK, ""); err != nil {
		return err
	}
	if err := m.world.api.write(c.secret, chain, c.key, cas); err != nil {
		return err
	}
	if err := c.secret.proveHeld(m.world); err != nil {
		return err
	}
	done := c.done
	c.done = nil
	for _, tell := range done {
		if err := tell(); err != nil {
			return err
		}
	}
	return nil
}

// sign makes the next generation and returns what goes into tls.crt and ca.crt.
func (c *certificate) sign() (chain, cas []*cert) {
	m := c.manager
	var parent *cert
	var above []*cert // the issuer's own chain, without its root
	if c.issuer.ca != nil {
		parent = c.issuer.ca.content.certs[0]
		for _, link := range c.issuer.ca.content.certs {
			if !link.root() {
				above = append(above, link)
			}
		}
	}
	c.revision++
	duration := apiutil.DefaultCertDuration(c.spec.Spec.Duration)
	fresh := m.pki.issue(
		revisionName(c.name, c.revision), c.template, c.key, parent, m.world.now, duration)
	c.current = fresh
	root := fresh
	for !root.root() {
		root = root.issuer
	}
	return c.secret.held(append([]*cert{fresh}, above...), []*cert{root})
}

// rotatesKey reports whether an issuance makes a new key: the default since cert-manager 1.18.
func (c *certificate) rotatesKey() bool {
	private := c.spec.Spec.PrivateKey
	return private == nil || private.RotationPolicy != certmanager.RotationPolicyNever
}

// scheduleRenewal works out the renewal instant with cert-manager's own rule.
func (c *certificate) scheduleRenewal() {
	world, spec := c.manager.world, c.spec.Spec
	at, err := cmpki.RenewalTime(
		world.wall(c.current.notBefore), world.wall(c.current.notAfter),
		spec.RenewBefore, spec.RenewBeforePercentage, spec.Renewal)
	if err != nil || at == nil {
		c.renewAt = forever
		return
	}
	c.renewAt = at.Sub(world.plan.Start)
	c.schedule(c.renewAt)
}

// held applies what PublishTrust holds to an issuance.
func (s *secret) held(chain, cas []*cert) (sent, trusted []*cert) {
	if s.trust == nil {
		return chain, cas
	}
	if s.trust.cross != nil {
		chain = append(chain, s.trust.cross)
	}
	return chain, s.trust.cas
}

// proveHeld proves a PublishTrust that waited for an issuance.
func (s *secret) proveHeld(w *world) error {
	if s.trust == nil || s.trust.action == "" {
		return nil
	}
	action := s.trust.action
	s.trust.action = ""
	return w.prove(action, s.name, s.trustDetail())
}

func (s *secret) trustDetail() string {
	return "ca.crt holds " + s.content.generation(s.content.cas).Trust
}

// crossSigned returns the current CA's name and key as certified by the last of the CAs that are
// still trusted.
func (m *certManager) crossSigned(authority *certificate, trusted []*cert) *cert {
	current := authority.current
	for _, ca := range slices.Backward(trusted) {
		if ca == current {
			continue
		}
		m.pki.certs++
		return &cert{
			id: m.pki.certs, name: current.name + "x", template: current.template,
			key: current.key, issuer: ca,
			notBefore: current.notBefore, notAfter: current.notAfter,
		}
	}
	return nil
}
