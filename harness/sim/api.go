package sim

import (
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// secret is one Secret at the API server.
type secret struct {
	name     string // namespace/name
	revision int
	content  *content // nil while it does not exist
	paired   *content // the last content whose key was the leaf's
	owner    *certificate
	rotated  *rotated

	trust   *heldTrust // keeps ca.crt over issuances
	mounts  []*mount   // who projects it, by node
	waiting []*pod     // cannot start until it exists
}

// heldTrust is what PublishTrust holds in ca.crt.
type heldTrust struct {
	cas    []*cert
	cross  *cert  // appended to tls.crt unless nil
	action string // to be proved by the next issuance; "" once it is
}

// generations resolves references to a CA's generations for this Secret.
func (s *secret) generations(authority *certificate, refs []scenarios.AuthorityRef) []*cert {
	var out []*cert
	for _, ref := range refs {
		if ref == scenarios.Current {
			out = append(out, authority.current)
			continue
		}
		for _, ca := range s.content.cas {
			if ca != authority.current {
				out = append(out, ca)
			}
		}
	}
	return out
}

// apiServer stores Secrets and tells watchers of every change. A watch event is delivered at once:
// the tens of milliseconds it takes are small against a kubelet's resync interval.
type apiServer struct {
	world   *world
	secrets map[string]*secret
	down    bool
	since   time.Duration // of being down
	waiting []*pod        // cannot be created until it is back
}

func (a *apiServer) secret(name string) *secret {
	s := a.secrets[name]
	if s == nil {
		s = &secret{name: name}
		a.secrets[name] = s
	}
	return s
}

// write replaces the content as one update and informs cert-manager and the kubelets. Nobody may
// call it while the API server is down.
func (a *apiServer) write(s *secret, certs []*cert, k *key, cas []*cert) error {
	return a.put(s, &content{certs: certs, key: k, cas: cas})
}

// put is write for any content, which is the Secret's from then on.
func (a *apiServer) put(s *secret, fresh *content) error {
	s.revision++
	fresh.secret, fresh.revision, fresh.written = s.name, s.revision, a.world.now
	s.content = fresh
	if !s.content.torn() {
		s.paired = s.content
	}
	if err := a.world.emit(writeRow(s, a.world.now)); err != nil {
		return err
	}
	return a.changed(s)
}

// remove deletes the Secret. Pods that mount it keep their files.
func (a *apiServer) remove(s *secret) error {
	if s.content == nil {
		return nil
	}
	s.content = nil
	if err := a.world.emit(writeRow(s, a.world.now)); err != nil {
		return err
	}
	return a.changed(s)
}

func writeRow(s *secret, now time.Duration) record.Span {
	row := record.Span{
		Kind: record.Write, From: now, To: now, Source: s.name, Outcome: record.OK,
	}
	if s.content != nil {
		row.Own = s.content.generation(s.content.cas)
		row.NotBefore, row.NotAfter = s.content.validity()
		if s.content.ring != nil {
			row.Detail = s.content.ring.String()
		}
	} else {
		row.Detail = "deleted"
	}
	return row
}

func (a *apiServer) changed(s *secret) error {
	if s.owner != nil {
		s.owner.secretChanged()
	}
	if s.rotated != nil && a.world.open {
		s.rotated.schedule(a.world.now + reconcileTime)
	}
	if s.content == nil {
		return nil
	}
	a.world.manager.retryPending()
	for _, m := range s.mounts {
		m.changed()
	}
	waiting := s.waiting
	s.waiting = nil
	for _, p := range waiting {
		p.startAfter(mountRetry)
	}
	return nil
}
