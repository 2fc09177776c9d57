package scenarios

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	apiutil "github.com/cert-manager/cert-manager/pkg/api/util"
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

// ErrSpeed is wrapped by each of the errors that Faster returns.
var ErrSpeed = errors.New("cannot be performed faster")

// The least that a faster plan may come to.
const (
	// kubeletTick is how often the kubelet's sync loop looks for pods that are due; a shorter
	// syncFrequency is not kept (pkg/kubelet/kubelet.go, syncLoop).
	kubeletTick = time.Second
	// shortestHorizon leaves time for what takes as long at any speed, such as an issuance.
	shortestHorizon = 10 * time.Second
	// shortestRetry is the shortest time between two attempts to associate.
	shortestRetry = 100 * time.Millisecond
	// shortestDowntime is about what a kubelet takes to start a container anew: its pod lifecycle
	// event generator looks for dead ones once a second (pkg/kubelet/kubelet.go, plegRelistPeriod).
	shortestDowntime = time.Second
	// shortestOff is twice what an attempt to connect may take, and about twice what a node takes
	// to boot: of a network that is cut or a node that is off for less, little is seen.
	shortestOff = 10 * time.Second
	// failBackoff is how long cert-manager waits after a failed request, at any speed.
	failBackoff = time.Hour
)

// Faster returns the plan for n times the speed, n from 1: every duration that the scenario sets is
// divided by n, rounded to nanoseconds. These are the horizon, the actions' offsets, downtimes down
// to 1s, kubelets' sync frequencies and cache TTLs, peers' reload intervals and read gaps, the
// phases of both, retries of associations down to 100ms, and the times expected.
//
// What a world does not do faster stays: dials, so that a second sees the same load; issuances;
// certificates' durations and renewBefore, which cert-manager bounds below; the kubelet's 1s ticks
// and the back-off after a failed sync. A clock that is behind is held against the time since an
// issuance, so its skew is scaled; one ahead against certificates' lifetimes, so its skew is not.
// Neither are the delay and the loss of a network, which are of each packet.
//
// What the plan would then mean something else with is refused. The error joins all such problems,
// each wrapping ErrSpeed and saying where it is and what to do.
func (p Plan) Faster(n float64) (Plan, error) {
	if !(n >= 1) || math.IsInf(n, 0) {
		return Plan{}, fmt.Errorf("%w: speed %v is not a number from 1; 1 is as written",
			ErrSpeed, n)
	}
	if n == 1 {
		return p, nil
	}
	h := hurry{plan: p, n: n}
	h.refuseTimes()
	h.refuseKubelets()
	h.refuseCertificates()
	h.refuseBackoff()
	h.refuseGlimpses()
	h.refuseConditions()
	fast := h.faster()
	if err := errors.Join(h.problems...); err != nil {
		return Plan{}, err
	}
	return fast, nil
}

// hurry is one use of Faster.
type hurry struct {
	plan     Plan
	n        float64
	problems []error
}

func (h *hurry) problem(format string, args ...any) {
	h.problems = append(h.problems, fmt.Errorf("%w: "+format, append([]any{ErrSpeed}, args...)...))
}

// shorter returns d at the higher speed.
func (h *hurry) shorter(d time.Duration) time.Duration {
	return time.Duration(math.Round(float64(d) / h.n))
}

// interval is shorter for a duration that must not come to nothing.
func (h *hurry) interval(place string, d time.Duration) time.Duration {
	fast := h.shorter(d)
	if d > 0 && fast <= 0 {
		h.problem("%s: %s comes to nothing; lower --speed", place, shortDuration(d))
	}
	return fast
}

// largest writes the highest speed at which d is not below the least.
func largest(d, least time.Duration) string {
	if d < least {
		return "it cannot be sped up"
	}
	speed := math.Floor(100*float64(d)/float64(least)) / 100
	return "use --speed " + FormatSpeed(speed) + " at most"
}

// FormatSpeed writes a speed as short as it can be read back: 10, 2.5.
func FormatSpeed(speed float64) string { return strconv.FormatFloat(speed, 'f', -1, 64) }

func (h *hurry) refuseTimes() {
	if h.plan.Speed > 0 {
		h.problem("speed: the plan is sped up %s times already; start from the one it was made of",
			FormatSpeed(h.plan.Speed))
	}
	if h.shorter(h.plan.Horizon) < shortestHorizon {
		h.problem("horizon: %s would be %s, below %s; %s", shortDuration(h.plan.Horizon),
			shortDuration(h.shorter(h.plan.Horizon)), shortDuration(shortestHorizon),
			largest(h.plan.Horizon, shortestHorizon))
	}
}

// refuseKubelets refuses sync frequencies that no kubelet keeps, each once.
func (h *hurry) refuseKubelets() {
	places := map[time.Duration][]string{}
	var order []time.Duration
	add := func(place string, every time.Duration) {
		if h.shorter(every) >= kubeletTick {
			return
		}
		if places[every] == nil {
			order = append(order, every)
		}
		places[every] = append(places[every], place)
	}
	for _, node := range h.plan.Nodes {
		add("node "+node.Name, node.SyncFrequency)
	}
	for _, action := range h.plan.Actions {
		if action.Kubelet != nil {
			add(action.ID, action.Kubelet.SyncFrequency)
		}
	}
	for _, every := range order {
		place := places[every][0]
		if more := len(places[every]) - 1; more > 0 {
			place += fmt.Sprintf(" and %d more", more)
		}
		h.problem("%s: syncFrequency: %s would be %s, and kubelets look once in %s; %s", place,
			shortDuration(every), shortDuration(h.shorter(every)), shortDuration(kubeletTick),
			largest(every, kubeletTick))
	}
}

// refuseCertificates refuses plans in which waiting has cert-manager renew a Certificate, or has
// one expire: neither comes faster.
func (h *hurry) refuseCertificates() {
	for i := range h.plan.World.Certificates {
		certificate := &h.plan.World.Certificates[i]
		what, due := nextOf(certificate, h.plan.Start)
		if due > h.plan.Horizon {
			continue
		}
		h.problem("certificate %s: its %s at %s is within the horizon (%s) and comes no faster; "+
			"rotate it by a rotateLeaf fault instead, and lengthen its duration",
			NameOf(certificate), what, shortDuration(due), shortDuration(h.plan.Horizon))
	}
}

// nextOf returns what becomes next of a Certificate that is issued at offset 0, by cert-manager's
// own rule, and the offset.
func nextOf(certificate *certmanager.Certificate, start time.Time) (string, time.Duration) {
	spec := certificate.Spec
	duration := apiutil.DefaultCertDuration(spec.Duration)
	at, err := pki.RenewalTime(start, start.Add(duration),
		spec.RenewBefore, spec.RenewBeforePercentage, spec.Renewal)
	if err != nil || at == nil {
		return "expiry", duration
	}
	return "renewal", at.Sub(start)
}

// refuseBackoff refuses outages in which requests fail, if the run is long enough for cert-manager
// to ask again: the hour until then is as long at any speed.
func (h *hurry) refuseBackoff() {
	for _, action := range h.plan.Actions {
		if action.Verb != StopIssuer || action.Mode != OutageFail ||
			action.At+failBackoff > h.plan.Horizon {
			continue
		}
		h.problem("%s: after a failed request cert-manager waits for %s at any speed, and the run "+
			"goes on for longer; use mode: stop, or end the run within %s of the outage",
			action.ID, shortDuration(failBackoff), shortDuration(failBackoff))
	}
}

// refuseGlimpses refuses cuts of a network and of power that are over before anybody has given up.
func (h *hurry) refuseGlimpses() {
	for _, action := range h.plan.Actions {
		end, ends := h.plan.EndOf(action)
		off := end.At - action.At
		if !ends || action.Network != nil && !action.Network.Cut || h.shorter(off) >= shortestOff {
			continue
		}
		h.problem("%s: %s would be %s, and who is away for less than %s is hardly missed; %s",
			action.ID, shortDuration(off), shortDuration(h.shorter(off)),
			shortDuration(shortestOff), largest(off, shortestOff))
	}
}

func (h *hurry) refuseConditions() {
	for i, condition := range h.plan.Expect.Conditions {
		if why := ofTime(condition.That); why != "" {
			h.problem("expect.conditions[%d] %q: %s, so it may speak of times or of counts that "+
				"grow with them; leave it out, or use --speed 1", i, condition.Name, why)
		}
	}
}

// faster returns the plan at the higher speed. It shares with the original what it leaves alone.
func (h *hurry) faster() Plan {
	fast := h.plan
	fast.Speed = h.n
	fast.Horizon = h.shorter(fast.Horizon)
	fast.Nodes = slices.Clone(fast.Nodes)
	for i := range fast.Nodes {
		fast.Nodes[i] = h.node("node "+fast.Nodes[i].Name, fast.Nodes[i])
	}
	fast.Peers = slices.Clone(fast.Peers)
	for i := range fast.Peers {
		h.peers(&fast.Peers[i])
	}
	fast.Tokens = slices.Clone(fast.Tokens)
	for i := range fast.Tokens {
		h.tokens(&fast.Tokens[i])
	}
	fast.Stores = slices.Clone(fast.Stores)
	for i := range fast.Stores {
		h.consumer(&fast.Stores[i].Consumer)
	}
	fast.World.RotatingSecrets = slices.Clone(fast.World.RotatingSecrets)
	for i := range fast.World.RotatingSecrets {
		h.rotation(&fast.World.RotatingSecrets[i])
	}
	fast.Pods = slices.Clone(fast.Pods)
	for i := range fast.Pods {
		fast.Pods[i].TokenAge = h.shorter(fast.Pods[i].TokenAge)
		fast.Pods[i].KeysAge = h.shorter(fast.Pods[i].KeysAge)
		fast.Pods[i].SyncDue = h.shorter(fast.Pods[i].SyncDue)
		fast.Pods[i].CacheAge = h.shorter(fast.Pods[i].CacheAge)
	}
	fast.Actions = slices.Clone(fast.Actions)
	for i := range fast.Actions {
		h.action(&fast.Actions[i])
	}
	h.expect(&fast.Expect)
	return fast
}

func (h *hurry) node(place string, node PlannedNode) PlannedNode {
	node.SyncFrequency = h.shorter(node.SyncFrequency) // refuseKubelets bounds it
	node.CacheTTL = h.interval(place+": cacheTTL", node.CacheTTL)
	return node
}

func (h *hurry) consumer(c *Consumer) {
	place := "workload " + c.Workload + ": "
	c.Every = h.interval(place+"reload", c.Every)
	c.ReadGap = h.interval(place+"readGap", c.ReadGap)
}

func (h *hurry) peers(group *PeerGroup) {
	h.consumer(&group.Consumer)
	group.Retry = min(group.Retry, max(h.shorter(group.Retry), shortestRetry))
}

func (h *hurry) action(action *Action) {
	action.At = h.shorter(action.At)
	action.Downtime = min(action.Downtime, max(h.shorter(action.Downtime), shortestDowntime))
	if action.Kubelet != nil {
		node := h.node(action.ID, *action.Kubelet)
		action.Kubelet, action.Note = &node, kubeletNote(node)
	}
	if action.Skew > 0 && h.ofTokens(action.Pods) {
		action.Skew = h.interval(action.ID, action.Skew)
		action.Note = skewNote(action.Pods, action.Skew)
	}
	if action.Skew < 0 {
		action.Skew = -h.interval(action.ID, -action.Skew)
		action.Note = skewNote(action.Pods, action.Skew)
	}
}

func (h *hurry) expect(expect *Expect) {
	within := func(place string, d Duration) Duration {
		return Duration(h.interval("expect."+place+".within", d.std()))
	}
	if expect.Settle != nil {
		expect.Settle = &Settle{
			Within: within("settle", expect.Settle.Within),
			After:  Duration(h.shorter(expect.Settle.After.std())),
		}
	}
	if expect.Propagation != nil {
		expect.Propagation = &Within{within("propagation", expect.Propagation.Within)}
	}
	if expect.StaleTrust != nil {
		expect.StaleTrust = &Within{within("staleTrust", expect.StaleTrust.Within)}
	}
}

// kubeletNote tells what ConfigureKubelet does.
func kubeletNote(node PlannedNode) string {
	return fmt.Sprintf("restart the kubelet of %s with syncFrequency %s and %s", node.Name,
		shortDuration(node.SyncFrequency), node.ChangeDetection)
}

// skewNote tells what SetClock does.
func skewNote(pods []string, by time.Duration) string {
	return fmt.Sprintf("set the clocks of %s off by %s", strings.Join(pods, ", "),
		shortDuration(by))
}
