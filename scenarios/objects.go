package scenarios

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strconv"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
)

// DefaultNamespace is the namespace of objects, workloads and names that give none.
const DefaultNamespace = "default"

// ClusterResourceNamespace is where cert-manager looks for the Secrets of ClusterIssuers.
const ClusterResourceNamespace = "cert-manager"

// supported says which Kubernetes objects a scenario may hold.
const supported = "supported are Issuer and ClusterIssuer (selfSigned or ca), Certificate, " +
	"RotatingSecret, and Namespace, which is ignored"

// objects gathers a scenario's Kubernetes objects with the places they are written at, which are
// in the order of World's lists.
type objects struct {
	*collector
	world                                 World
	issuers, clusterIssuers, certificates []place
	rotating                              []place
	stored                                map[string]bool  // Secrets whose keys stores use
	first                                 map[string]place // of each kind and name
}

// world reads the scenario's manifests into its World and checks them. It reports whether all of
// them could be read: if not, nothing can be said about names that are missing.
func (d *decoder) world(s *Scenario, files fs.FS) (complete bool) {
	o := &objects{collector: d.collector, stored: s.stored(), first: map[string]place{}}
	complete = len(s.Spec.Manifests) > 0
	seen := map[string]bool{}
	for i, manifest := range s.Spec.Manifests {
		path := "spec.manifests[" + strconv.Itoa(i) + "]"
		switch {
		case manifest.Object != nil:
			o.object(d, manifest.Object, path)
		case manifest.File == "":
			complete = false
		case seen[manifest.File]:
			d.add(d.file, path, fmt.Sprintf("%q is listed twice", manifest.File), "")
		default:
			seen[manifest.File] = true
			complete = o.file(d, manifest.File, files, path) && complete
		}
	}
	o.check(complete)
	s.World = o.world
	return complete
}

// file reads one manifest file, and reports whether it could be read.
func (o *objects) file(d *decoder, name string, files fs.FS, path string) bool {
	data, err := readManifest(name, files)
	if err != nil {
		what, hint := explain(err)
		d.add(d.file, path, what, hint)
		return false
	}
	before := len(o.problems)
	documents := o.documents(name, data)
	if len(documents) == 0 {
		if len(o.problems) == before {
			o.addAt(0, name, "", "holds no Kubernetes object", "")
		}
		return false
	}
	reader := o.decoder(name, nil)
	for i, document := range documents {
		at := ""
		if len(documents) > 1 {
			at = "documents[" + strconv.Itoa(i) + "]"
		}
		o.mark(name, at, document.Line)
		o.object(reader, document, at)
	}
	return reader.left >= 0
}

// readManifest returns the content of a file beside the scenario, up to a byte more than allowed.
func readManifest(name string, files fs.FS) ([]byte, error) {
	if files == nil {
		return nil, &valueError{
			fmt.Sprintf("%q cannot be read: the scenario is in no folder", name),
			"write the objects inline",
		}
	}
	if !fs.ValidPath(name) {
		return nil, &valueError{
			fmt.Sprintf("%q is not a path below the scenario's folder", name),
			"move the file there",
		}
	}
	file, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &valueError{fmt.Sprintf("there is no file %q", name), siblings(name, files)}
	}
	if err != nil {
		return nil, fmt.Errorf("%q cannot be read: %w", name, err)
	}
	defer file.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(file, inputMax+1))
	if err != nil {
		return nil, fmt.Errorf("%q cannot be read: %w", name, err)
	}
	return data, nil
}

// siblings asks for a file of a like name.
func siblings(name string, files fs.FS) string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return ""
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if hint := didYouMean(name, names); hint != "" {
		return hint
	}
	return "files are looked for beside the scenario"
}

// object reads one Kubernetes object, or the objects of a List.
func (o *objects) object(d *decoder, node *yaml.Node, path string) {
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		d.problem(node, path, "must be a Kubernetes object, not "+describe(node), "")
		return
	}
	version, kind := scalarOf(node, "apiVersion"), scalarOf(node, "kind")
	switch version + " " + kind {
	case "cert-manager.io/v1 Issuer":
		issuer := certmanager.Issuer{}
		at := o.read(d, node, &issuer, &issuer.ObjectMeta, kind, path)
		issuer.Status = certmanager.IssuerStatus{}
		o.world.Issuers = append(o.world.Issuers, issuer)
		o.issuers = append(o.issuers, at)
	case "cert-manager.io/v1 ClusterIssuer":
		issuer := certmanager.ClusterIssuer{}
		at := o.read(d, node, &issuer, &issuer.ObjectMeta, kind, path)
		issuer.Status = certmanager.IssuerStatus{}
		o.world.ClusterIssuers = append(o.world.ClusterIssuers, issuer)
		o.clusterIssuers = append(o.clusterIssuers, at)
	case "cert-manager.io/v1 Certificate":
		certificate := certmanager.Certificate{}
		at := o.read(d, node, &certificate, &certificate.ObjectMeta, kind, path)
		certificate.Status = certmanager.CertificateStatus{}
		defaultIssuerRef(&certificate)
		o.world.Certificates = append(o.world.Certificates, certificate)
		o.certificates = append(o.certificates, at)
	case rotator.GroupVersion().String() + " RotatingSecret":
		rotating := rotator.RotatingSecret{}
		at := o.read(d, node, &rotating, &rotating.ObjectMeta, kind, path)
		rotating.Status = rotator.RotatingSecretStatus{}
		o.world.RotatingSecrets = append(o.world.RotatingSecrets, rotating)
		o.rotating = append(o.rotating, at)
	case "v1 List":
		o.items(d, node, path)
	case "v1 Namespace":
	default:
		o.unsupported(d, node, version, kind, path)
	}
}

// read decodes an object, keeps of its metadata what a user may set, and returns its place.
func (o *objects) read(
	d *decoder, node *yaml.Node, object any, meta *metav1.ObjectMeta, kind, path string,
) place {
	d.value(node, reflect.ValueOf(object).Elem(), path, rules{})
	at := place{d.file, path}
	*meta = metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace,
		Labels: meta.Labels, Annotations: meta.Annotations,
	}
	if kind == certmanager.ClusterIssuerKind {
		meta.Namespace = ""
	} else if meta.Namespace == "" {
		meta.Namespace = DefaultNamespace
	}
	if meta.Name == "" {
		d.add(d.file, join(path, "metadata.name"), "is required", "")
		return at
	}
	if what := dnsSubdomain(meta.Name); what != "" {
		d.add(d.file, join(path, "metadata.name"), what, "")
	}
	if what := dnsLabel(meta.Namespace); what != "" && meta.Namespace != "" {
		d.add(d.file, join(path, "metadata.namespace"), what, "")
	}
	id := kind + " " + qualified(meta.Namespace, meta.Name)
	if other, again := o.first[id]; again {
		what := fmt.Sprintf("%s is defined twice, first at %s:%d",
			id, other.file, o.line(other.file, other.path))
		d.add(d.file, join(path, "metadata.name"), what, "")
	}
	o.first[id] = at
	return at
}

func (o *objects) items(d *decoder, node *yaml.Node, path string) {
	items := child(node, "items")
	if items == nil || items.Kind != yaml.SequenceNode {
		d.add(d.file, join(path, "items"), "must be a list", "")
		return
	}
	for i, item := range items.Content {
		at := join(path, "items") + "[" + strconv.Itoa(i) + "]"
		if !d.spend(item) {
			return
		}
		if scalarOf(item, "kind") == "List" {
			d.problem(item, at, "is a List in a List", "")
			continue
		}
		d.mark(d.file, at, item.Line)
		o.object(d, item, at)
	}
}

func (o *objects) unsupported(d *decoder, node *yaml.Node, version, kind, path string) {
	if version == "" || kind == "" {
		d.problem(node, path, "is not a Kubernetes object: it has no apiVersion and kind",
			supported)
		return
	}
	what := fmt.Sprintf("%s (%s) is not supported", kind, version)
	hint := supported
	switch {
	case strings.HasPrefix(version, "cert-manager.io/v1alpha"),
		strings.HasPrefix(version, "cert-manager.io/v1beta"):
		hint = "cert-manager serves cert-manager.io/v1 only"
	case kind == "Deployment", kind == "StatefulSet", kind == "DaemonSet", kind == "Pod":
		hint = "say under workloads what consumes the Secrets; " + supported
	case kind == "Secret":
		hint = "Secrets are written by Certificates and RotatingSecrets; " + supported
	}
	d.problem(node, path, what, hint)
}

// scalarOf returns the text of a mapping's key, or "".
func scalarOf(node *yaml.Node, key string) string {
	if value := child(node, key); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// defaultIssuerRef fills in what the API server does.
func defaultIssuerRef(certificate *certmanager.Certificate) {
	ref := &certificate.Spec.IssuerRef
	if ref.Kind == "" {
		ref.Kind = certmanager.IssuerKind
	}
	if ref.Group == "" {
		ref.Group = certManagerGroup
	}
}

const certManagerGroup = "cert-manager.io"

// qualified returns the name plans use: namespace/name, or /name for what has no namespace.
func qualified(namespace, name string) string { return namespace + "/" + name }

// qualify returns namespace/name for a name that may have its namespace already.
func qualify(namespace, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return qualified(namespace, name)
}
