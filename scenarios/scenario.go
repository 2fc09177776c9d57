// Package scenarios is certquake's language: what a scenario file may say, how it is read, and the
// plan it becomes.
//
// Call Parse to read a scenario strictly, with every problem reported at once, then Plan to resolve
// it under a seed. A plan is pure data: the same scenario and seed give the same plan, byte for
// byte, and everything that happens later happens because the plan says so or because the world
// under test reacted. The package performs nothing and holds no clients.
package scenarios

import (
	"time"
)

// The identity every scenario file carries.
const (
	APIVersion = "certquake.dev/v1alpha1"
	Kind       = "Scenario"
)

// Scenario is one scenario file.
type Scenario struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	// World is what the manifests hold, resolved by Parse.
	World World `json:"-"`
}

// Metadata names a scenario.
type Metadata struct {
	// Name is the scenario's name, a DNS label.
	Name string `json:"name"`
	// Labels group scenarios: family, incident, check.
	Labels map[string]string `json:"labels,omitempty"`
}

// Spec says what there is, what is done to it and what must be true.
type Spec struct {
	// Why tells a reader what the scenario shows and why it happens.
	Why string `json:"why"`
	// Start is the instant of offset 0 where time is virtual, in whole seconds; default
	// 2026-01-01T00:00:00Z.
	Start *time.Time `json:"start,omitempty"`
	// Params are values used as $(name) anywhere in the file, and set with --set name=value.
	Params map[string]string `json:"params,omitempty"`
	// Nodes are the cluster's nodes; default one node with the kubelet's defaults.
	Nodes []Node `json:"nodes,omitempty"`
	// Manifests are Kubernetes and cert-manager objects, inline or as files beside the scenario.
	Manifests []Manifest `json:"manifests"`
	// Workloads are the consumers of the secrets.
	Workloads []Workload `json:"workloads"`
	// Load is the attempts made against them.
	Load []Load `json:"load,omitempty"`
	// Faults are what is done to the world, and when.
	Faults []Fault `json:"faults,omitempty"`
	// Horizon is when the run ends. Leave a tail without faults: recovery is judged in it.
	Horizon Duration `json:"horizon"`
	// Expect is what must be true; by default every check must pass.
	Expect Expect `json:"expect,omitzero"`
}

// Node is one node, or Count equal ones named <name>-0, <name>-1 and so on.
type Node struct {
	// Name is the node's name, a DNS label.
	Name string `json:"name"`
	// Count makes several: <name>-0, <name>-1 and so on.
	Count int `json:"count,omitempty" min:"1"`
	// Kubelet holds the settings of its kubelet.
	Kubelet Kubelet `json:"kubelet,omitzero"`
}

// ChangeDetection is how a kubelet learns of changed Secrets, named as in its setting
// configMapAndSecretChangeDetectionStrategy.
type ChangeDetection string

// The kubelet's strategies (pkg/kubelet/util/manager).
const (
	Watch ChangeDetection = "Watch" // a reflector per object: current at every sync
	Cache ChangeDetection = "Cache" // fetched again at a sync once older than CacheTTL
	Get   ChangeDetection = "Get"   // fetched at every sync
)

// Kubelet holds the settings of a node's kubelet that decide when mounted Secrets change.
type Kubelet struct {
	// SyncFrequency is the kubelet's syncFrequency, default 1m: pods are synced at random
	// intervals of 1 to 1.5 times it, rounded up to whole seconds.
	SyncFrequency Duration `json:"syncFrequency,omitempty"`
	// ChangeDetection defaults to Watch.
	ChangeDetection ChangeDetection `json:"changeDetection,omitempty" enum:"Watch|Cache|Get"`
	// CacheTTL is the age up to which Cache reuses an object, default 1m.
	CacheTTL Duration `json:"cacheTTL,omitempty"`
}

// Workload is a named group of equal pods. Exactly one kind of workload is set.
type Workload struct {
	// Name is the workload's name, a DNS label; its pods are <name>-0, <name>-1 and so on.
	Name string `json:"name"`
	// Namespace is where its pods and Secret are, default "default".
	Namespace string `json:"namespace,omitempty"`
	// Nodes restricts the nodes its pods are spread over, by the name given under nodes.
	Nodes []string `json:"nodes,omitempty"`

	// AkkaPeers are peers with the semantics of Akka's RotatingKeysSSLEngineProvider.
	AkkaPeers *AkkaPeers `json:"akkaPeers,omitempty"`
	// TLSPeers are mutual-TLS peers whose every behaviour is chosen.
	TLSPeers *TLSPeers `json:"tlsPeers,omitempty"`
	// TokenIssuer signs JSON Web Tokens with the primary of a mounted key ring.
	TokenIssuer *TokenIssuer `json:"tokenIssuer,omitempty"`
	// TokenVerifier accepts them by key id, from a mounted key ring or a JWKS.
	TokenVerifier *TokenVerifier `json:"tokenVerifier,omitempty"`
	// SealedStore keeps records that are sealed under the keys of a mounted key ring.
	SealedStore *SealedStore `json:"sealedStore,omitempty"`
}

// AkkaPeers configures peers as Akka's reference.conf does under
// akka.remote.artery.ssl.rotating-keys-engine.
type AkkaPeers struct {
	// Replicas is the number of pods.
	Replicas int `json:"replicas" min:"1"`
	// Secret is the name of the mounted Secret.
	Secret string `json:"secret"`
	// ContextCacheTTL is ssl-context-cache-ttl, default 5m.
	ContextCacheTTL Duration `json:"contextCacheTTL,omitempty"`
	// Trust is first-cert (Akka before akka-core#32977, the default) or bundle.
	Trust string `json:"trust,omitempty" enum:"first-cert|bundle"`
	// PairCheck is none (Java's KeyStore keeps a torn pair, the default) or match.
	PairCheck string `json:"pairCheck,omitempty" enum:"none|match"`
	// Protocol is TLSv1.2 (the default) or TLSv1.3.
	Protocol string `json:"protocol,omitempty" enum:"TLSv1.2|TLSv1.3"`
	// EnabledAlgorithms are cipher suites, default [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384].
	EnabledAlgorithms []string `json:"enabledAlgorithms,omitempty"`
	// Associations are the long-lived connections between the peers: ring (the default), mesh or
	// none.
	Associations string `json:"associations,omitempty" enum:"ring|mesh|none"`
}

// TLSPeers configures mutual-TLS peers in general.
type TLSPeers struct {
	// Replicas is the number of pods.
	Replicas int `json:"replicas" min:"1"`
	// Secret is the name of the mounted Secret.
	Secret string `json:"secret"`
	// Reload says when the files are read again.
	Reload Reload `json:"reload,omitzero"`
	// Read is pinned (resolve ..data once, the default) or file-by-file.
	Read string `json:"read,omitempty" enum:"pinned|file-by-file"`
	// ReadGap is the time between the opens of two files, for file-by-file; default 0.
	ReadGap Duration `json:"readGap,omitempty"`
	// Trust is bundle (the default) or first-cert.
	Trust string `json:"trust,omitempty" enum:"first-cert|bundle"`
	// PairCheck is match (the default) or none.
	PairCheck string `json:"pairCheck,omitempty" enum:"none|match"`
	// PeerNames is shared-subject or none (the default).
	PeerNames string `json:"peerNames,omitempty" enum:"shared-subject|none"`
	// HostnameVerification makes clients verify ServerName; default false.
	HostnameVerification bool `json:"hostnameVerification,omitempty"`
	// ServerName is the name clients dial, default <workload>.<namespace>.svc.cluster.local.
	ServerName string `json:"serverName,omitempty"`
	// MinVersion is TLSv1.2 (the default) or TLSv1.3.
	MinVersion string `json:"minVersion,omitempty" enum:"TLSv1.2|TLSv1.3"`
	// MaxVersion is TLSv1.2 or TLSv1.3 (the default).
	MaxVersion string `json:"maxVersion,omitempty" enum:"TLSv1.2|TLSv1.3"`
	// CipherSuites restricts the suites of TLS 1.2, by their IANA names.
	CipherSuites []string `json:"cipherSuites,omitempty"`
	// Curves restricts the key exchanges, by the names Go has for them, such as X25519.
	Curves []string `json:"curves,omitempty"`
	// Resumption lets canary dials resume sessions; default false.
	Resumption bool `json:"resumption,omitempty"`
	// Associations are the long-lived connections between the peers: ring, mesh or none (the
	// default).
	Associations string `json:"associations,omitempty" enum:"ring|mesh|none"`
}

// TokenIssuer configures pods that sign tokens with the primary key of a RotatingSecret, call
// verifiers with them, and publish the public keys as a JWKS. The algorithm is that of the keys:
// HS256 for symmetric ones, RS256, ES256 (P-256) or EdDSA (Ed25519).
type TokenIssuer struct {
	// Replicas is the number of pods.
	Replicas int `json:"replicas" min:"1"`
	// Secret is the name of the mounted Secret, which a RotatingSecret writes.
	Secret string `json:"secret"`
	// TokenTTL is how long a token is valid, default 5m.
	TokenTTL Duration `json:"tokenTTL,omitempty"`
	// Reuse is how long a pod calls with the same token before it signs another one, default
	// tokenTTL.
	Reuse Duration `json:"reuse,omitempty"`
	// KeyringTTL is the age at which a key ring that is used is read again, default 5m.
	KeyringTTL Duration `json:"keyringTTL,omitempty"`
	// ReadOnce reads the keys when the process starts, and never again.
	ReadOnce bool `json:"readOnce,omitempty"`
}

// TokenVerifier configures pods that verify the tokens they are called with, by the id of the key.
// Keys are of a mounted Secret or of a JWKS.
type TokenVerifier struct {
	// Replicas is the number of pods.
	Replicas int `json:"replicas" min:"1"`
	// Secret is the name of the mounted Secret, the one that the callers sign with.
	Secret string `json:"secret,omitempty"`
	// JWKS is where keys are fetched instead.
	JWKS *JWKS `json:"jwks,omitempty"`
	// Leeway stretches a token's validity at both ends, default 1m.
	Leeway *Duration `json:"leeway,omitempty"`
	// KeyringTTL is the age at which a key ring that is used is read again, default 5m.
	KeyringTTL Duration `json:"keyringTTL,omitempty"`
	// ReadOnce reads the keys when the process starts, and never again.
	ReadOnce bool `json:"readOnce,omitempty"`
}

// JWKS says whose public keys are fetched over HTTP, and when they are fetched again.
type JWKS struct {
	// From is the workload of tokenIssuers that publish them; each fetch asks one of its pods.
	From string `json:"from"`
	// Policy says what has keys fetched again: their age (max-age), a token of an unknown kid
	// (refetch-on-unknown), that but not within a cooldown (refetch-with-cooldown), or time alone
	// (background). The others are those of real verifiers by their defaults.
	Policy string `json:"policy" enum:"max-age|refetch-on-unknown|refetch-with-cooldown|background|go-oidc|panva-jose|smallrye|envoy|lestrrat-jwx"` //nolint:lll // a tag is one line
	// MaxAge is the age at which keys that are used are fetched again, for all but background.
	MaxAge Duration `json:"maxAge,omitempty"`
	// Cooldown is how long after a good fetch an unknown kid has none made, for
	// refetch-with-cooldown.
	Cooldown Duration `json:"cooldown,omitempty"`
	// Interval is the time between two fetches, for background.
	Interval Duration `json:"interval,omitempty"`
	// Retry is how long a failed fetch keeps others from being made, default 0s.
	Retry Duration `json:"retry,omitempty"`
	// DropStale refuses all tokens while keys older than maxAge cannot be fetched anew; otherwise
	// the old ones stay in use.
	DropStale bool `json:"dropStale,omitempty"`
}

// SealedStore configures pods that keep data at rest, each its own: records that are sealed under
// the primary key of a RotatingSecret and opened by the id of their key. A store outlives the pod's
// processes, and the pod. At offset 0 all records are under the first key.
type SealedStore struct {
	// Replicas is the number of pods.
	Replicas int `json:"replicas" min:"1"`
	// Secret is the name of the mounted Secret, which a RotatingSecret writes: symmetric keys of 32
	// bytes.
	Secret string `json:"secret"`
	// Records is how many each pod keeps, default 10000, at most 1000000.
	Records int `json:"records,omitempty" min:"1"`
	// KeyringTTL is the age at which a key ring that is used is read again, default 5m.
	KeyringTTL Duration `json:"keyringTTL,omitempty"`
	// ReadOnce reads the keys when the process starts, and never again.
	ReadOnce bool `json:"readOnce,omitempty"`
}

// Reload says when a process reads its files again.
type Reload struct {
	// Policy is poll (the default), lazy-ttl, watch, watch-once or start-up.
	Policy string `json:"policy,omitempty" enum:"poll|lazy-ttl|watch|watch-once|start-up"`
	// Every is the interval of poll (default 10s) or the TTL of lazy-ttl (default 5m).
	Every Duration `json:"every,omitempty"`
	// OnError is keep-last-good (the default) or fail.
	OnError string `json:"onError,omitempty" enum:"keep-last-good|fail"`
}

// Load is a stream of attempts from every pod of a workload.
type Load struct {
	// Workload names the pods that dial, call, read or write.
	Workload string `json:"workload"`
	// To names the workloads dialled, default the workload itself. A pod never dials itself.
	To []string `json:"to,omitempty"`
	// NewConnections are open-loop canary dials beside the long-lived associations, of peers.
	NewConnections *Dials `json:"newConnections,omitempty"`
	// Requests are open-loop calls with a token, of a tokenIssuer to tokenVerifiers.
	Requests *Dials `json:"requests,omitempty"`
	// Reads are open-loop reads of a sealedStore's records by its own pods, one record after the
	// other and over again.
	Reads *Dials `json:"reads,omitempty"`
	// Writes seal its records anew with the primary key, one after the other and over again.
	Writes *Dials `json:"writes,omitempty"`
}

// Dials is an open-loop schedule: attempts are due at fixed intervals whatever became of
// the ones before.
type Dials struct {
	// Rate is the attempts per pod, such as 10/s or 6/m.
	Rate Rate `json:"rate"`
}

// Fault is one thing done to the world. Exactly one kind of fault is set.
type Fault struct {
	// At is the offset of the fault's first action.
	At Duration `json:"at"`
	// Repeat performs the fault again at a fixed interval.
	Repeat *Repeat `json:"repeat,omitempty"`

	// The kinds of faults. A field whose type is a pointer to one is all it takes to add one.

	RotateLeaf     *RotateLeaf     `json:"rotateLeaf,omitempty"`
	SwapCA         *SwapCA         `json:"swapCA,omitempty"`
	HoldSync       *HoldSync       `json:"holdSync,omitempty"`
	SetKubelet     *SetKubelet     `json:"setKubelet,omitempty"`
	Restart        *Restart        `json:"restart,omitempty"`
	SkewClock      *SkewClock      `json:"skewClock,omitempty"`
	IssuerOutage   *IssuerOutage   `json:"issuerOutage,omitempty"`
	DeleteSecret   *DeleteSecret   `json:"deleteSecret,omitempty"`
	TruncateBundle *TruncateBundle `json:"truncateBundle,omitempty"`
	TearPair       *TearPair       `json:"tearPair,omitempty"`
	APIOutage      *APIOutage      `json:"apiOutage,omitempty"`
	WebhookOutage  *WebhookOutage  `json:"webhookOutage,omitempty"`

	DisturbNetwork *NetworkDisturbance `json:"disturbNetwork,omitempty"`
	StopNode       *NodeOutage         `json:"stopNode,omitempty"`

	RotateKeys     *KeyRotation    `json:"rotateKeys,omitempty"`
	ReplaceKeys    *KeyReplacement `json:"replaceKeys,omitempty"`
	SpoilKeys      *KeySpoiling    `json:"spoilKeys,omitempty"`
	OperatorOutage *OperatorOutage `json:"operatorOutage,omitempty"`
}

// Repeat performs a fault Times times in all, Every apart.
type Repeat struct {
	// Every is the time from one performance to the next.
	Every Duration `json:"every"`
	// Times is how often in all.
	Times int `json:"times" min:"1"`
}

// Expect is what must be true of a run.
type Expect struct {
	// Verdict is the verdict the run must have: pass (the default), fail or inconclusive.
	Verdict string `json:"verdict,omitempty" enum:"pass|fail|inconclusive"`
	// Because names the check that must be among the failed ones when Verdict is fail.
	Because string `json:"because,omitempty"`
	// Settle bounds the recovery: no credential failure later than Within after After.
	Settle *Settle `json:"settle,omitempty"`
	// Propagation bounds the time from a Secret's write to its use; default by the kubelet's law.
	Propagation *Within `json:"propagation,omitempty"`
	// StaleTrust bounds how long a withdrawn CA may stay trusted; default as Propagation.
	StaleTrust *Within `json:"staleTrust,omitempty"`
	// Conditions are CEL expressions over the analysis.
	Conditions []Condition `json:"conditions,omitempty"`
}

// Settle bounds a recovery. After defaults to the end of the last fault.
type Settle struct {
	// Within is the longest recovery allowed.
	Within Duration `json:"within"`
	// After is the offset it is measured from, default the last fault's last action.
	After Duration `json:"after,omitempty"`
}

// Within is an upper bound.
type Within struct {
	// Within is the bound.
	Within Duration `json:"within"`
}

// Condition is a named CEL expression that must be true, over the fields of report.json.
type Condition struct {
	// Name names the condition in the report.
	Name string `json:"name"`
	// That is the expression.
	That string `json:"that"`
}
