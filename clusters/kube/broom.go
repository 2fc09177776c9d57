package kube

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/clusters"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

const (
	// clearLimit bounds the removal of what a run made. A pod takes its grace period and a little.
	clearLimit = 20 * time.Second
	// clearEvery is the time between two looks at what is left.
	clearEvery = 300 * time.Millisecond
	// clearQuiet is how many looks in a row must find nothing: cert-manager may be writing the
	// Secret of a Certificate that was deleted meanwhile.
	clearQuiet = 3
)

// kind is a kind of objects that a run makes, or has made for it.
type kind struct {
	schema.GroupVersionResource
	name    string
	cluster bool // it has no namespace
	follows bool // it goes by itself, once what it belongs to is gone
}

// kinds returns them in the order in which they are removed: who uses a Secret goes before who
// writes it, and that before the Secret itself.
func kinds() []kind {
	core := schema.GroupVersion{Version: "v1"}
	apps := schema.GroupVersion{Group: "apps", Version: "v1"}
	issuing := certmanager.SchemeGroupVersion
	return []kind{
		{apps.WithResource("deployments"), "Deployment", false, false},
		{core.WithResource("services"), "Service", false, false},
		{issuing.WithResource("certificates"), "Certificate", false, false},
		{issuing.WithResource("certificaterequests"), "CertificateRequest", false, false},
		{issuing.WithResource("issuers"), "Issuer", false, false},
		{issuing.WithResource("clusterissuers"), "ClusterIssuer", true, false},
		{rotating.GroupVersion().WithResource("rotatingsecrets"), rotating.Kind, false, false},
		{core.WithResource("secrets"), "Secret", false, false},
		{core.WithResource("pods"), "Pod", false, true},
		{core.WithResource("namespaces"), "Namespace", true, false},
	}
}

// thing is an object of the cluster.
type thing struct {
	kind   kind
	object *unstructured.Unstructured
}

func (t thing) String() string {
	if t.kind.cluster {
		return t.kind.name + " " + t.object.GetName()
	}
	return t.kind.name + " " + t.object.GetNamespace() + "/" + t.object.GetName()
}

// run returns the run that made the object, "" if none says so.
func (t thing) run() string { return RunOf(t.object) }

// NewRun returns a name for a run, which no other has.
func NewRun() string { return strings.ToLower(rand.Text()[:10]) }

// broom removes what runs made in a cluster that outlives them.
type broom struct {
	client     dynamic.Interface
	namespaces []string // of the cluster
	whole      bool     // the run made namespaces as it needed them: the whole cluster is its own
	issuers    bool     // ClusterIssuers may have been made, too
	rotates    bool     // RotatingSecrets are made
	run        string   // that the namespaces belong to now
}

func newBroom(
	config *rest.Config, plan scenarios.Plan, target *clusters.Target,
) (*broom, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%w: client: %w", clusters.ErrBroken, err)
	}
	return &broom{
		client: client, namespaces: newPlaces(plan, target).watched(), run: target.Run,
		whole: target.Namespace == nil, issuers: len(plan.World.ClusterIssuers) > 0,
		rotates: len(plan.World.RotatingSecrets) > 0,
	}, nil
}

// makeRoom removes what runs that were killed left in the namespaces, which are this run's now, and
// returns what else is in the way, joined.
func (b *broom) makeRoom(ctx context.Context, plan scenarios.Plan, target clusters.Target) error {
	earlier := func(run string) bool { return run != "" && run != b.run }
	said := false
	left, err := b.sweep(ctx, earlier, func(found []thing) {
		if !said {
			harness.Say(ctx, "removing what an earlier run left: %s", counts(found))
			said = true
		}
	})
	if err != nil {
		return fmt.Errorf("remove what an earlier run left: %w",
			errors.Join(err, leftover(left)))
	}
	if len(left) > 0 {
		return leftover(left)
	}
	return b.collisions(ctx, plan, target)
}

// collisions returns which objects of somebody else have the names of those that a run makes.
func (b *broom) collisions(
	ctx context.Context, plan scenarios.Plan, target clusters.Target,
) error {
	there, err := b.look(ctx)
	if err != nil {
		return err
	}
	workloads, err := Workloads(plan, target)
	if err != nil {
		return err
	}
	taken := map[string]string{}
	for _, object := range append(Manifests(plan, target), workloads...) {
		name := object.GetObjectKind().GroupVersionKind().Kind + " "
		if namespace := object.GetNamespace(); namespace != "" {
			name += namespace + "/"
		}
		taken[name+object.GetName()] = ""
		switch writer := object.(type) {
		case *certmanager.Certificate:
			taken["Secret "+writer.Namespace+"/"+writer.Spec.SecretName] = ""
		case *rotating.RotatingSecret:
			taken["Secret "+writer.Namespace+"/"+writer.TargetName()] = ""
		}
	}
	var problems []error
	for _, t := range there {
		if _, wanted := taken[t.String()]; wanted && t.run() != b.run {
			problems = append(problems, errors.New(t.String()+" "+ownership(t)))
		}
		if secret := secretOf(t); secret != "" && t.run() != b.run {
			if _, wanted := taken["Secret "+t.object.GetNamespace()+"/"+secret]; wanted {
				problems = append(problems, fmt.Errorf("%s, which is none of certquake's, writes "+
					"Secret %s, too", t, secret))
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("nothing of others is overwritten; run elsewhere, or remove what is in the "+
		"way:\n%w", errors.Join(problems...))
}

// ownership says of a thing that is in the way whose it is.
func ownership(t thing) string {
	run, home := t.run(), t.object.GetLabels()[labelHome]
	switch {
	case run == "":
		return "exists and is none of certquake's"
	case home == "" || !t.kind.cluster:
		return "belongs to run " + run
	}
	return fmt.Sprintf("belongs to run %s in namespace %s; if that was killed: "+
		"kubectl delete %s %s", run, home, strings.ToLower(t.kind.name), t.object.GetName())
}

// secretOf returns the Secret that a Certificate or a RotatingSecret has written, "" for anything
// else.
func secretOf(t thing) string {
	name, _, _ := unstructured.NestedString(t.object.Object, "spec", "secretName")
	switch t.kind.name {
	case "Certificate":
		return name
	case rotating.Kind:
		return cmp.Or(name, t.object.GetName())
	}
	return ""
}

// clear removes what this run made, although ctx may be done, and returns an error that names what
// is left.
func (b *broom) clear(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	left, err := b.sweep(ctx, func(run string) bool { return run == b.run }, nil)
	if err != nil {
		err = fmt.Errorf("%w: remove what the run made, which has the label %s=%s: %w",
			clusters.ErrBroken, labelRun, b.run, err)
	}
	return errors.Join(err, leftover(left))
}

// leftover returns an error that names what could not be removed, and the commands that do it.
func leftover(left []thing) error {
	if len(left) == 0 {
		return nil
	}
	commands := map[string]string{}
	for _, t := range left {
		command := "kubectl delete"
		if !t.kind.cluster {
			command += " -n " + t.object.GetNamespace()
		}
		commands[command] += " " + t.kind.GroupResource().String() + "/" + t.object.GetName()
	}
	var typed []string
	for _, command := range slices.Sorted(maps.Keys(commands)) {
		typed = append(typed, command+commands[command])
	}
	return fmt.Errorf("%w: left in the cluster: %s; remove it by\n  %s",
		clusters.ErrBroken, listing(left), strings.Join(typed, "\n  "))
}

// listing names things.
func listing(things []thing) string {
	names := make([]string, len(things))
	for i, t := range things {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}

// counts says how many things of each kind there are.
func counts(things []thing) string {
	of := map[string]int{}
	for _, t := range things {
		of[t.kind.name]++
	}
	var said []string
	for _, kind := range kinds() {
		switch n := of[kind.name]; n {
		case 0:
		case 1:
			said = append(said, "a "+kind.name)
		default:
			said = append(said, fmt.Sprintf("%d %ss", n, kind.name))
		}
	}
	return strings.Join(said, ", ")
}

// sweep removes what belongs to the runs that mine says so of, until nothing comes after, and
// returns what was left at the limit. It tells of what it found first.
func (b *broom) sweep(
	ctx context.Context, mine func(run string) bool, found func([]thing),
) ([]thing, error) {
	ctx, cancel := context.WithTimeout(ctx, clearLimit)
	defer cancel()
	claims := newClaims(mine)
	var left []thing
	for quiet := 0; quiet < clearQuiet; {
		things, err := b.look(ctx)
		if err == nil {
			left = claims.pick(slices.DeleteFunc(things, b.elsewhere))
			err = b.remove(ctx, claims, left)
		}
		switch {
		case apierrors.IsForbidden(err):
			return nil, err
		case err == nil && len(left) == 0 && !claims.any:
			return nil, nil // nothing was there, so nothing comes after it
		case err == nil && len(left) == 0:
			quiet++
		case err == nil:
			quiet = 0
			if found != nil {
				found(left)
			}
		}
		pause := time.NewTimer(clearEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if len(left) == 0 {
				err = errors.Join(err, ctx.Err())
			}
			return left, err
		}
	}
	return nil, nil
}

// elsewhere reports whether a thing without a namespace was made by a run in other namespaces.
func (b *broom) elsewhere(t thing) bool {
	home := t.object.GetLabels()[labelHome]
	return t.kind.cluster && !b.whole && !slices.Contains(b.namespaces, home)
}

// look returns everything in the namespaces that is of one of the kinds.
func (b *broom) look(ctx context.Context) ([]thing, error) {
	var things []thing
	for _, kind := range kinds() {
		namespaces := b.namespaces
		switch {
		case kind.cluster && (b.whole || b.issuers && kind.name == "ClusterIssuer"):
			namespaces = []string{""}
		case kind.cluster:
			continue
		}
		for _, namespace := range namespaces {
			objects, err := b.client.Resource(kind.GroupVersionResource).Namespace(namespace).
				List(ctx, metav1.ListOptions{})
			if err != nil && kind.name == rotating.Kind && b.unknown(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
			}
			for i := range objects.Items {
				things = append(things, thing{kind, &objects.Items[i]})
			}
		}
	}
	return things, nil
}

// unknown reports whether an error of a list of RotatingSecrets says no more than that there are
// none: the API server does not know them, or this run has nothing to do with them.
func (b *broom) unknown(err error) bool {
	return apierrors.IsNotFound(err) || !b.rotates && apierrors.IsForbidden(err)
}

// remove begins to remove things, in their order. A Secret is marked as the run's before its
// Certificate goes: without both, nobody would know whose it is.
func (b *broom) remove(ctx context.Context, claims *claims, things []thing) error {
	for _, t := range things {
		if t.kind.name == "Secret" && t.run() == "" {
			if err := b.mark(ctx, t, claims.of(t)); err != nil {
				return err
			}
		}
	}
	for _, t := range things {
		if t.kind.name == rotating.Kind && len(t.object.GetFinalizers()) > 0 {
			// Its operator is gone, and would wait for consumers that are going, too.
			if err := b.patch(ctx, t, `{"metadata":{"finalizers":null}}`); err != nil {
				return err
			}
		}
		if t.kind.follows || t.object.GetDeletionTimestamp() != nil {
			continue
		}
		uid := t.object.GetUID()
		err := b.resource(t).Delete(ctx, t.object.GetName(), metav1.DeleteOptions{
			Preconditions:     &metav1.Preconditions{UID: &uid},
			PropagationPolicy: new(metav1.DeletePropagationBackground),
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete %s: %w", t, err)
		}
	}
	return nil
}

func (b *broom) resource(t thing) dynamic.ResourceInterface {
	return b.client.Resource(t.kind.GroupVersionResource).Namespace(t.object.GetNamespace())
}

// mark gives an object the labels of a run.
func (b *broom) mark(ctx context.Context, t thing, run string) error {
	return b.patch(ctx, t, fmt.Sprintf(`{"metadata":{"labels":{%q:%q,%q:%q}}}`,
		labelManaged, managedBy, labelRun, run))
}

// patch changes the metadata of an object, if it is still there.
func (b *broom) patch(ctx context.Context, t thing, patch string) error {
	_, err := b.resource(t).Patch(ctx, t.object.GetName(), types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: managedBy})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("change %s: %w", t, err)
	}
	return nil
}
