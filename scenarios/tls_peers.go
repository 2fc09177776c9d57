package scenarios

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// The defaults of TLSPeers' reload intervals.
const (
	defaultPoll = 10 * time.Second
	defaultTTL  = 5 * time.Minute
)

func (p *TLSPeers) pods() int      { return p.Replicas }
func (p *TLSPeers) secret() string { return p.Secret }

func (p *TLSPeers) check(c *checker, path string) {
	c.reload(path+".reload", p.Reload)
	c.notNegative(path+".readGap", p.ReadGap)
	if p.ReadGap != 0 && p.Read != "file-by-file" {
		c.problem(path+".readGap", "has no effect", "set read: file-by-file")
	}
	least, most := p.versions()
	if least > most {
		c.problem(path+".minVersion", "is above maxVersion", "")
	}
	c.suites(path+".cipherSuites", p.CipherSuites, tls.VersionTLS12)
	curves := curveIDs()
	for i, name := range p.Curves {
		if _, ok := curves[name]; !ok {
			known := slices.Sorted(maps.Keys(curves))
			c.problem(path+".curves["+strconv.Itoa(i)+"]", fmt.Sprintf("%q is no curve", name),
				didYouMeanOr(name, "curve", known))
		}
	}
}

// reload checks when files are read again.
func (c *checker) reload(path string, r Reload) {
	c.notNegative(path+".every", r.Every)
	timed := r.Policy == "" || r.Policy == "poll" || r.Policy == "lazy-ttl"
	if r.Every != 0 && !timed && c.sound(path+".policy") {
		c.problem(path+".every", "has no effect with policy "+r.Policy, "leave it out")
	}
	if r.Every == 0 && c.given(path+".every") {
		c.problem(path+".every", "0s is not positive", "")
	}
}

func (p *TLSPeers) versions() (least, most uint16) {
	return tlsVersion(p.MinVersion), tlsVersion(orDefault(p.MaxVersion, "TLSv1.3"))
}

func (p *TLSPeers) plan(plan *Plan, w *Workload) Consumer {
	namespace := orDefault(w.Namespace, DefaultNamespace)
	least, most := p.versions()
	policy, every := p.Reload.resolved()
	group := PeerGroup{
		Consumer: Consumer{
			Workload: w.Name, Namespace: namespace, Secret: qualify(namespace, p.Secret),
			Policy: policy, Every: every,
			KeepLastGood: orDefault(p.Reload.OnError, "keep-last-good") == "keep-last-good",
			Pinned:       orDefault(p.Read, "pinned") == "pinned", ReadGap: p.ReadGap.std(),
		},
		Trust:     orDefault(p.Trust, "bundle"),
		PairCheck: orDefault(p.PairCheck, "match"), Chain: "file",
		PeerRule:       orDefault(p.PeerNames, "none"),
		VerifyHostname: p.HostnameVerification,
		ServerName:     orDefault(p.ServerName, w.serverName()),
		MinVersion:     least, MaxVersion: most,
		CipherSuites: suiteIDs(p.CipherSuites), Resumption: p.Resumption,
		Associations: orDefault(p.Associations, "none"), Retry: defaultRetry,
	}
	curves := curveIDs()
	for _, name := range p.Curves {
		group.Curves = append(group.Curves, uint16(curves[name]))
	}
	plan.Peers = append(plan.Peers, group)
	return group.Consumer
}

// resolved returns the policy and its interval.
func (r Reload) resolved() (policy string, every time.Duration) {
	policy, every = orDefault(r.Policy, "poll"), r.Every.std()
	if every == 0 {
		every = map[string]time.Duration{"poll": defaultPoll, "lazy-ttl": defaultTTL}[policy]
	}
	return policy, every
}

// curveIDs returns the key exchanges by the names Go has for them.
func curveIDs() map[string]tls.CurveID {
	ids := map[string]tls.CurveID{}
	for _, id := range []tls.CurveID{
		tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519, tls.X25519MLKEM768,
		tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	} {
		ids[id.String()] = id
	}
	return ids
}
