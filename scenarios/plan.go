package scenarios

import (
	"cmp"
	"slices"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
)

// World is the Kubernetes objects of a scenario, in the order given. Names are namespaced as
// "namespace/name" wherever a plan refers to them; a ClusterIssuer's is "/name".
type World struct {
	Issuers         []certmanager.Issuer        `json:"issuers,omitempty"`
	ClusterIssuers  []certmanager.ClusterIssuer `json:"clusterIssuers,omitempty"`
	Certificates    []certmanager.Certificate   `json:"certificates,omitempty"`
	RotatingSecrets []rotator.RotatingSecret    `json:"rotatingSecrets,omitempty"`
}

// Plan is everything a backend needs to perform a scenario: names resolved, defaults filled in, all
// dice rolled. Dice that belong to the world's own course, such as a kubelet's resync intervals,
// are drawn by simulating backends from Rand's named streams.
type Plan struct {
	Scenario string            `json:"scenario"`
	Labels   map[string]string `json:"labels,omitempty"`
	Why      string            `json:"why"`
	Params   map[string]string `json:"params,omitempty"`
	Seed     uint64            `json:"seed"`
	Speed    float64           `json:"speed,omitempty"` // as Faster was told; 0 is 1
	Start    time.Time         `json:"start"`
	Horizon  time.Duration     `json:"horizon_ns"`
	World    World             `json:"world"`
	Nodes    []PlannedNode     `json:"nodes"`
	Peers    []PeerGroup       `json:"peers"`
	Tokens   []TokenGroup      `json:"tokens,omitempty"`
	Stores   []StoreGroup      `json:"stores,omitempty"`
	Pods     []Pod             `json:"pods"`
	Streams  []Stream          `json:"streams,omitempty"`
	Actions  []Action          `json:"actions,omitempty"` // in order of At, then as planned
	Expect   Expect            `json:"expect"`
}

// PlannedNode is one node.
type PlannedNode struct {
	Name            string          `json:"name"`
	SyncFrequency   time.Duration   `json:"sync_frequency_ns"`
	ChangeDetection ChangeDetection `json:"change_detection"`
	CacheTTL        time.Duration   `json:"cache_ttl_ns,omitempty"` // of Cache only
}

// Consumer is what every workload has: where its pods are, what Secret they mount, and when they
// read it again.
type Consumer struct {
	Workload  string `json:"workload"`
	Namespace string `json:"namespace"`
	Secret    string `json:"secret,omitempty"` // namespaced; "" if they mount none

	Policy       string        `json:"policy,omitempty"`   // credential.PolicyKind
	Every        time.Duration `json:"every_ns,omitempty"` // TTL or interval of Policy
	KeepLastGood bool          `json:"keep_last_good,omitempty"`
	Pinned       bool          `json:"pinned,omitempty"`
	ReadGap      time.Duration `json:"read_gap_ns,omitempty"`
}

// PeerGroup is one workload of mutual-TLS peers with every setting resolved. The string values are
// those of packages credential and handshake.
type PeerGroup struct {
	Consumer

	Trust     string `json:"trust"`      // credential.Trust
	PairCheck string `json:"pair_check"` // credential.PairCheck
	Chain     string `json:"chain"`      // credential.Chain

	PeerRule       string   `json:"peer_rule"` // handshake.PeerRule
	VerifyHostname bool     `json:"verify_hostname,omitempty"`
	ServerName     string   `json:"server_name"`
	MinVersion     uint16   `json:"min_version"` // tls.VersionTLS12 or tls.VersionTLS13
	MaxVersion     uint16   `json:"max_version"`
	CipherSuites   []uint16 `json:"cipher_suites,omitempty"`
	Curves         []uint16 `json:"curves,omitempty"` // tls.CurveID
	Resumption     bool     `json:"resumption,omitempty"`

	Associations string        `json:"associations"`       // ring, mesh or none
	Retry        time.Duration `json:"retry_ns,omitempty"` // between attempts to associate
}

// TokenRole is what the pods of a TokenGroup do with tokens.
type TokenRole string

// The roles of a TokenGroup.
const (
	Issues   TokenRole = "issuer"   // sign tokens, and call others with them
	Verifies TokenRole = "verifier" // accept calls with a good token
)

// TokenGroup is one workload that issues or verifies JSON Web Tokens, with every setting resolved.
// Verifiers with a JWKS mount no Secret: they fetch keys from pods of another group.
type TokenGroup struct {
	Consumer

	Role      TokenRole     `json:"role"`
	Algorithm string        `json:"algorithm"`           // token.Algorithm
	TTL       time.Duration `json:"ttl_ns,omitempty"`    // of issuers: how long a token is valid
	Reuse     time.Duration `json:"reuse_ns,omitempty"`  // of issuers: how long one is called with
	Leeway    time.Duration `json:"leeway_ns,omitempty"` // of verifiers
	JWKS      *JWKSGroup    `json:"jwks,omitempty"`      // of verifiers that mount no key ring
}

// JWKSGroup is where verifiers fetch keys from, and when: token.Policy has its fields.
type JWKSGroup struct {
	From      string        `json:"from"` // the issuers' workload
	Kind      string        `json:"kind"` // token.PolicyKind
	MaxAge    time.Duration `json:"max_age_ns,omitempty"`
	Cooldown  time.Duration `json:"cooldown_ns,omitempty"`
	Interval  time.Duration `json:"interval_ns,omitempty"`
	Retry     time.Duration `json:"retry_ns,omitempty"`
	DropStale bool          `json:"drop_stale,omitempty"`
}

// StoreGroup is one workload of data at rest, with every setting resolved: each pod keeps Records
// of its own, which outlive it. At offset 0 all are under the first primary key of the Secret.
type StoreGroup struct {
	Consumer

	Records int `json:"records"`
}

// Consumers returns what all workloads have in common, in the order of the scenario for each kind:
// peers first, stores last.
func (p *Plan) Consumers() []Consumer {
	all := make([]Consumer, 0, len(p.Peers)+len(p.Tokens)+len(p.Stores))
	for i := range p.Peers {
		all = append(all, p.Peers[i].Consumer)
	}
	for i := range p.Tokens {
		all = append(all, p.Tokens[i].Consumer)
	}
	for i := range p.Stores {
		all = append(all, p.Stores[i].Consumer)
	}
	return all
}

// TokensOf returns the group of the workload, or nil if it is none of tokens.
func (p *Plan) TokensOf(workload string) *TokenGroup {
	for i := range p.Tokens {
		if p.Tokens[i].Workload == workload {
			return &p.Tokens[i]
		}
	}
	return nil
}

// Pod is one pod. At offset 0 it has been up for long: SyncDue and CacheAge place it at a random
// phase of its kubelet's resync interval and of its own reload interval. SyncDue is drawn as if
// kubelets synced a pod at the very instant it is due; one that looks for due pods at ticks only
// takes the draw to its own law.
type Pod struct {
	Name     string        `json:"name"` // <workload>-<index>
	Workload string        `json:"workload"`
	Node     string        `json:"node"`
	SyncDue  time.Duration `json:"sync_due_ns"`            // offset of its first resync
	CacheAge time.Duration `json:"cache_age_ns,omitempty"` // age of its loaded credential at 0
	// TokenAge is, at 0, the age of the token that an issuer calls with, and KeysAge that of the
	// keys that a verifier fetched.
	TokenAge time.Duration `json:"token_age_ns,omitempty"`
	KeysAge  time.Duration `json:"keys_age_ns,omitempty"`
}

// Op is what the attempts of a stream do.
type Op string

// The operations of streams.
const (
	Calls  Op = ""      // canary dials of other pods, or calls with a token
	Reads  Op = "read"  // open a record of the source's own store
	Writes Op = "write" // seal a record of it anew with the primary key
)

// Stream is the open-loop attempts of one pod. Attempt k is due at Phase + k*Every and goes to
// target (First + k) modulo the number of targets, which are the pods of the workloads To in plan
// order without the source itself. Those of Reads and Writes have nobody in To: they are of record
// (First + k) modulo the number of records.
type Stream struct {
	Source string        `json:"source"`
	Op     Op            `json:"op,omitempty"`
	To     []string      `json:"to"`
	Every  time.Duration `json:"every_ns"`
	Phase  time.Duration `json:"phase_ns"`
	First  int           `json:"first"`
}

// Verb is what an action does.
type Verb string

// The verbs, which every backend performs or refuses in Check.
const (
	// Reissue has cert-manager issue Certificates anew, each once the one before is written.
	Reissue Verb = "reissue"
	// PublishTrust sets the CAs in ca.crt of Secrets to Trust, generations of Authority's CA. With
	// Hold they stay so over later issuances, until the next PublishTrust; with NextWrite nothing
	// is written until the next issuance, so that one write changes both; with CrossSign, the
	// previous CA's cross-signature of the current one is appended to tls.crt of issuances while
	// held.
	PublishTrust Verb = "publish-trust"
	// PauseSync and ResumeSync stop and continue the kubelet of Node.
	PauseSync  Verb = "pause-sync"
	ResumeSync Verb = "resume-sync"
	// ConfigureKubelet restarts the kubelet of Node with Kubelet's settings.
	ConfigureKubelet Verb = "configure-kubelet"
	// RestartPods ends and starts Pods, as Mode says.
	RestartPods Verb = "restart-pods"
	// SetClock sets the process clocks of Pods off by Skew; 0 sets them right.
	SetClock Verb = "set-clock"
	// StopIssuer and StartIssuer put Issuer, or cert-manager as a whole when it is empty, out of
	// order and back.
	StopIssuer  Verb = "stop-issuer"
	StartIssuer Verb = "start-issuer"
	// RemoveSecret deletes Secrets. RestoreSecret creates them again with their last content if
	// nothing else has.
	RemoveSecret  Verb = "remove-secret"
	RestoreSecret Verb = "restore-secret"
	// TrimBundle cuts ca.crt of Secrets down to its first Keep certificates.
	TrimBundle Verb = "trim-bundle"
	// WriteTornPair writes a new leaf into tls.crt of Secrets but leaves the old tls.key.
	WriteTornPair Verb = "write-torn-pair"
	// RestorePair writes the Secrets' last matching pair back.
	RestorePair Verb = "restore-pair"
	// StopAPI and StartAPI take the API server down, with etcd, the controllers and the scheduler,
	// and bring it back. Meanwhile other actions that need it wait.
	StopAPI  Verb = "stop-api"
	StartAPI Verb = "start-api"
	// StopWebhook and StartWebhook take cert-manager's admission webhook down and bring it back.
	StopWebhook  Verb = "stop-webhook"
	StartWebhook Verb = "start-webhook"
	// StopNode and StartNode end Node with everything on it, as a power cut does, and boot it: its
	// kubelet then starts the same pods anew, with volumes set up from the API as of then.
	StopNode  Verb = "stop-node"
	StartNode Verb = "start-node"
	// DisturbNetwork does Network to what Pods and the other pods of the plan send each other, but
	// not to what Pods send among themselves; RestoreNetwork ends that. Pods are reached by
	// everything else as before. The trouble is of the pods, not of their processes: one that is
	// restarted meanwhile has it still. No pod is in two troubles at a time.
	DisturbNetwork Verb = "disturb-network"
	RestoreNetwork Verb = "restore-network"
)

// The verbs of keys with ids.
const (
	// RotateKeys orders a rotation of the RotatingSecrets of Secrets, as orders.rotate does.
	RotateKeys Verb = "rotate-keys"
	// RejectKey has the key that is primary then give way to the one before it, as orders.reject.
	RejectKey Verb = "reject-key"
	// ReplaceKeys writes one new key in the place of all that Secrets hold, in one write.
	ReplaceKeys Verb = "replace-keys"
	// SpoilKeys writes Secrets so that they are no key ring, as Mode says. MendKeys writes back
	// what they held before that, or before ReplaceKeys.
	SpoilKeys Verb = "spoil-keys"
	MendKeys  Verb = "mend-keys"
	// StopOperator and StartOperator kill the operator that rotates keys and start it again.
	StopOperator  Verb = "stop-operator"
	StartOperator Verb = "start-operator"
)

// NetworkTrouble is what is done to the network between pods. The zero value of a field does
// nothing.
type NetworkTrouble struct {
	// Delay is added to each packet that the pods named send to others of the plan: to a round
	// trip once, or twice where the other end is in a trouble of its own.
	Delay time.Duration `json:"delay_ns,omitempty"`
	// Loss is the share of the packets, in both directions, that are dropped, each by itself: from
	// 0 to less than 1.
	Loss float64 `json:"loss,omitempty"`
	// Cut drops every packet in both directions, of connections that exist too.
	Cut bool `json:"cut,omitempty"`
}

// AuthorityRef names a generation of a swapped CA.
type AuthorityRef string

// The generations of a CA during its swap, as resolved when the trust is published: Previous is
// whatever CAs the Secret's ca.crt holds then but for the current one, so that no CA that a served
// leaf hangs on is dropped; Current is the authority's newest.
const (
	Previous AuthorityRef = "previous"
	Current  AuthorityRef = "current"
)

// Action is one thing done to the world at one instant. Which fields are set depends on Verb.
type Action struct {
	ID    string        `json:"id"` // unique: <fault>[<index>]/<step>
	Fault int           `json:"fault"`
	At    time.Duration `json:"at_ns"`
	Verb  Verb          `json:"verb"`
	Note  string        `json:"note"` // what it does, for people

	Certificates []string       `json:"certificates,omitempty"`
	Secrets      []string       `json:"secrets,omitempty"`
	Authority    string         `json:"authority,omitempty"` // the CA's Certificate
	Trust        []AuthorityRef `json:"trust,omitempty"`
	Hold         bool           `json:"hold,omitempty"`
	NextWrite    bool           `json:"next_write,omitempty"`
	CrossSign    bool           `json:"cross_sign,omitempty"`
	Node         string         `json:"node,omitempty"`
	Kubelet      *PlannedNode   `json:"kubelet,omitempty"`
	Pods         []string       `json:"pods,omitempty"`
	Mode         string         `json:"mode,omitempty"`
	Downtime     time.Duration  `json:"downtime_ns,omitempty"`
	Skew         time.Duration  `json:"skew_ns,omitempty"`
	Issuer       string         `json:"issuer,omitempty"`
	Keep         int            `json:"keep,omitempty"`

	Network *NetworkTrouble `json:"network,omitempty"`
}

// EndOf returns the later action that ends what the action begins, a disturbance of a network or a
// node's being off, and whether there is one.
func (p *Plan) EndOf(begin Action) (Action, bool) {
	end := map[Verb]Verb{DisturbNetwork: RestoreNetwork, StopNode: StartNode}[begin.Verb]
	from, _ := slices.BinarySearchFunc(p.Actions, begin.At,
		func(a Action, at time.Duration) int { return cmp.Compare(a.At, at) })
	for _, a := range p.Actions[from:] {
		if a.Verb == end && a.At > begin.At && a.Node == begin.Node &&
			slices.Equal(a.Pods, begin.Pods) {
			return a, true
		}
	}
	return Action{}, false
}
