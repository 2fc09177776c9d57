//nolint:lll // a marker of kubebuilder is one line
package api

import (
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RotatingSecret is a Secret of the same namespace whose keys have ids and are rotated: every
// <id>.key is accepted, exactly one <id>.key.primary signs. A rotation goes
//
//	r1*  >  r1* r2  >  r1 r2*  >  r2*
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rotsec
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Primary",type=string,JSONPath=`.status.primary`
// +kubebuilder:printcolumn:name="Keys",type=string,JSONPath=`.status.ids`
// +kubebuilder:printcolumn:name="Late",type=integer,JSONPath=`.status.lateCount`,priority=1
// +kubebuilder:printcolumn:name="Next step",type=string,JSONPath=`.status.nextStepTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name is a label's value: at most 63 characters"
type RotatingSecret struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec RotatingSecretSpec `json:"spec"`
	// +optional
	Status RotatingSecretStatus `json:"status,omitzero"`
}

// RotatingSecretList is a list of RotatingSecrets.
//
// +kubebuilder:object:root=true
type RotatingSecretList struct {
	meta.TypeMeta `json:",inline"`
	meta.ListMeta `json:"metadata,omitempty"`

	Items []RotatingSecret `json:"items"`
}

// RotatingSecretSpec is what the owner of a Secret asks for.
//
// +kubebuilder:validation:XValidation:rule="self.gate != 'uptake' || has(self.consumers)",message="the gate uptake needs consumers to ask",fieldPath=".consumers",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)",message="secretName is immutable: make another RotatingSecret",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="self.ids != 'counter' || !has(self.prefix) || !self.prefix.matches('[0-9]$')",message="prefix ends in a digit, which the counter would run into",fieldPath=".prefix"
type RotatingSecretSpec struct {
	// SecretName is the name of the Secret, the RotatingSecret's own by default. A Secret that is
	// there already must have the label certquake.dev/rotating-secret with the RotatingSecret's
	// name: only who may write it can hand it over.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// Generate says what a key is. A change takes effect with the next rotation.
	//
	// +optional
	// +kubebuilder:default={}
	Generate Generate `json:"generate,omitzero"`

	// Every is the time between the beginnings of two rotations, such as 720h. Without it,
	// rotations begin only by order.
	//
	// +optional
	Every *Duration `json:"every,omitempty"`

	// PromoteAfter is the least time between publishing a key and signing with it: 10m by default
	// by time, 0s by uptake.
	//
	// +optional
	PromoteAfter *Duration `json:"promoteAfter,omitempty"`

	// RetireAfter is the least time between the last signature by a key and its removal, 24h by
	// default. It must be longer than anything lives that the key signed.
	//
	// +optional
	RetireAfter *Duration `json:"retireAfter,omitempty"`

	// Gate is what each step waits for: a time, or what every consumer reports.
	//
	// +optional
	// +kubebuilder:default=time
	// +kubebuilder:validation:Enum=time;uptake
	Gate string `json:"gate,omitempty"`

	// UptakeTimeout is how long a late consumer is waited for before the rotation halts and says
	// who is late, 1h by default. A halt changes nothing, and ends when nobody is late any more.
	//
	// +optional
	UptakeTimeout *Duration `json:"uptakeTimeout,omitempty"`

	// HoldHalt keeps a halt until orders.resume changes, even when nobody is late any more.
	//
	// +optional
	HoldHalt bool `json:"holdHalt,omitempty"`

	// IDs is how keys are named: r1, r2; 20260102T150405Z; or a UUID of version 7.
	//
	// +optional
	// +kubebuilder:default=counter
	// +kubebuilder:validation:Enum=counter;timestamp;uuid
	IDs string `json:"ids,omitempty"`

	// Prefix is of ids, r by default if they count. Package keyring reads no longer ids, nor those
	// that begin with anything but a letter or digit.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	Prefix string `json:"prefix,omitempty"`

	// Consumers are the pods that read the Secret, and where they tell which keys they have.
	//
	// +optional
	Consumers *Consumers `json:"consumers,omitempty"`

	// Migration has data moved from the old key to the new one before the old one is removed.
	//
	// +optional
	Migration *Migration `json:"migration,omitempty"`

	// Orders are what people ask for beside the schedule.
	//
	// +optional
	Orders Orders `json:"orders,omitzero"`

	// DeletionPolicy is what becomes of the Secret when the RotatingSecret is deleted: Retain keeps
	// it as it is; Delete removes it as soon as no pod mounts it, no consumer reports a key of it
	// and no consumer is silent.
	//
	// +optional
	// +kubebuilder:default=Retain
	// +kubebuilder:validation:Enum=Retain;Delete
	DeletionPolicy string `json:"deletionPolicy,omitempty"`
}

// The deletion policies.
const (
	Retain = "Retain"
	Delete = "Delete"
)

// Duration is a time as Go writes it: 90s, 24h, 1h30m. It is text, as a JobTemplate is bytes, so
// that one object that makes no sense is a problem of that object and not of everybody's list.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="use a time such as 90s, 24h or 1h30m"
type Duration string

// Generate says what a key is. What is of another kind must not be set.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'rsa' || !has(self.bits)",message="bits mean something for rsa only",fieldPath=".bits"
// +kubebuilder:validation:XValidation:rule="self.kind == 'ec' || !has(self.curve)",message="a curve means something for ec only",fieldPath=".curve"
// +kubebuilder:validation:XValidation:rule="self.kind in ['symmetric', 'password'] || !has(self.length)",message="a length means something for symmetric and password only",fieldPath=".length"
// +kubebuilder:validation:XValidation:rule="self.kind != 'symmetric' || !has(self.length) || self.length >= 16",message="a symmetric key has 16 bytes at least",fieldPath=".length"
type Generate struct {
	// Kind is the kind of key.
	//
	// +optional
	// +kubebuilder:default=symmetric
	// +kubebuilder:validation:Enum=symmetric;rsa;ec;ed25519;password
	Kind string `json:"kind,omitempty"`

	// Bits are of an RSA modulus, 3072 by default.
	//
	// +optional
	// +kubebuilder:validation:Minimum=2048
	// +kubebuilder:validation:Maximum=8192
	Bits int32 `json:"bits,omitempty"`

	// Curve is of an EC key, P-256 by default.
	//
	// +optional
	// +kubebuilder:validation:Enum=P-256;P-384;P-521
	Curve string `json:"curve,omitempty"`

	// Length is bytes of a symmetric key or characters of a password, 32 by default.
	//
	// +optional
	// +kubebuilder:validation:Minimum=12
	// +kubebuilder:validation:Maximum=1024
	Length int32 `json:"length,omitempty"`
}

// Consumers are pods of the namespace that serve metrics in the text format of Prometheus, by plain
// HTTP. Those without a node and those that have ended are none. One that does not answer, or does
// not export certquake_keyring_info for the Secret, is late.
type Consumers struct {
	// Selector selects the pods by their labels.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)",message="select by at least one label"
	Selector meta.LabelSelector `json:"selector"`

	// Port is the number or, as for Services, the name of a port of the pods.
	//
	// +optional
	// +kubebuilder:default=metrics
	Port *intstr.IntOrString `json:"port,omitempty"`

	// Path is where the metrics are.
	//
	// +optional
	// +kubebuilder:default=/metrics
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`
}

// Migration is a Job that is run between the uptake of a new key and the removal of the old one.
type Migration struct {
	// JobTemplate is of the Job, as in a CronJob. Its containers are told what to do by the
	// variables ROTATION_FROM, ROTATION_TO, ROTATION_ATTEMPT and ROTATION_SECRET, which command and
	// args may hold as $(ROTATION_FROM). A migration must bear being stopped and begun again. Its
	// ttlSecondsAfterFinished is not used: a Job stays until the next rotation.
	//
	// +required
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	JobTemplate runtime.RawExtension `json:"jobTemplate"`
}

// Orders are declared, not sent: an order stands until another takes its place, and is carried out
// once.
type Orders struct {
	// Rotate is any text. When it changes, a rotation begins at once, or after the one under way.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Rotate string `json:"rotate,omitempty"`

	// Reject is the id of a key that must not be primary. It is never promoted, or the primary goes
	// back to the key before it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Reject string `json:"reject,omitempty"`

	// Resume is any text. When it changes, a halt ends and waiting begins anew.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Resume string `json:"resume,omitempty"`
}

// RotatingSecretStatus is what was last seen. What a rotation must not forget is not here but in
// the Secret, beside the keys, with the one exception of managed.
type RotatingSecretStatus struct {
	// ObservedGeneration is of the spec that this is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Managed says that the Secret was created, or taken over. Should its keys be gone one day,
	// none are made in their place.
	//
	// +optional
	Managed bool `json:"managed,omitempty"`

	// Phase is Steady, Published, Retiring or Migrating.
	//
	// +optional
	Phase string `json:"phase,omitempty"`

	// Primary is the id of the key that signs.
	//
	// +optional
	Primary string `json:"primary,omitempty"`

	// IDs are of all keys.
	//
	// +optional
	// +listType=set
	IDs []string `json:"ids,omitempty"`

	// LastRotationTime is when the last rotation began.
	//
	// +optional
	LastRotationTime *meta.Time `json:"lastRotationTime,omitempty"`

	// NextStepTime is when time alone brings the next step, or the end of waiting.
	//
	// +optional
	NextStepTime *meta.Time `json:"nextStepTime,omitempty"`

	// Late has the first consumers that the next step waits for; LateCount is how many there are.
	//
	// +optional
	// +listType=map
	// +listMapKey=consumer
	// +kubebuilder:validation:MaxItems=20
	Late []LateConsumer `json:"late,omitempty"`

	// +optional
	LateCount int64 `json:"lateCount,omitempty"`

	// Conditions are Ready, Rotating and Halted.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []meta.Condition `json:"conditions,omitempty"`
}

// LateConsumer is a pod that the next step waits for.
type LateConsumer struct {
	// Consumer is the name of the pod.
	Consumer string `json:"consumer"`

	// Why is Silent, Outdated, LacksKey or OtherSigner.
	Why string `json:"why"`

	// Detail says why a silent consumer told nothing.
	//
	// +optional
	Detail string `json:"detail,omitempty"`
}
