package scenarios

import (
	"crypto/tls"
	"time"
)

// The defaults of Akka's reference.conf.
const (
	defaultContextCacheTTL = 5 * time.Minute
	defaultSuite           = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
)

// defaultRetry is the time between two attempts to establish an association.
const defaultRetry = time.Second

func (p *AkkaPeers) pods() int      { return p.Replicas }
func (p *AkkaPeers) secret() string { return p.Secret }

func (p *AkkaPeers) check(c *checker, path string) {
	c.notNegative(path+".contextCacheTTL", p.ContextCacheTTL)
	if p.ContextCacheTTL == 0 && c.given(path+".contextCacheTTL") {
		c.problem(path+".contextCacheTTL", "0s is not positive", "1ms reads for every connection")
	}
	c.suites(path+".enabledAlgorithms", p.EnabledAlgorithms, tlsVersion(p.Protocol))
}

func (p *AkkaPeers) plan(plan *Plan, w *Workload) Consumer {
	namespace := orDefault(w.Namespace, DefaultNamespace)
	version := tlsVersion(p.Protocol)
	group := PeerGroup{
		Consumer: Consumer{
			Workload: w.Name, Namespace: namespace, Secret: qualify(namespace, p.Secret),
			Policy: "lazy-ttl", Every: p.ContextCacheTTL.std(),
		},
		Trust:     orDefault(p.Trust, "first-cert"),
		PairCheck: orDefault(p.PairCheck, "none"),
		Chain:     "leaf-and-ca", PeerRule: "shared-subject", ServerName: w.serverName(),
		MinVersion: version, MaxVersion: version,
		CipherSuites: suiteIDs(p.EnabledAlgorithms),
		Associations: orDefault(p.Associations, "ring"), Retry: defaultRetry,
	}
	if group.Every == 0 {
		group.Every = defaultContextCacheTTL
	}
	if len(p.EnabledAlgorithms) == 0 && version == tls.VersionTLS12 {
		group.CipherSuites = suiteIDs([]string{defaultSuite})
	}
	plan.Peers = append(plan.Peers, group)
	return group.Consumer
}
