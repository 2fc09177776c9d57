package scenarios

import (
	"fmt"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// check checks every object. Names of objects that may stand in a file that could not be read are
// not missed when the world is not complete.
func (o *objects) check(complete bool) {
	for i := range o.world.Issuers {
		o.issuer(o.issuers[i], &o.world.Issuers[i].Spec)
	}
	for i := range o.world.ClusterIssuers {
		o.issuer(o.clusterIssuers[i], &o.world.ClusterIssuers[i].Spec)
	}
	for i := range o.world.Certificates {
		checkCertificate(o.at(o.certificates[i]), &o.world.Certificates[i])
	}
	for i := range o.world.RotatingSecrets {
		o.rotation(o.rotating[i], &o.world.RotatingSecrets[i])
	}
	o.uniqueSecrets()
	if !complete {
		return
	}
	for i := range o.world.Issuers {
		issuer := &o.world.Issuers[i]
		o.authority(o.issuers[i], qualified(issuer.Namespace, issuer.Name), &issuer.Spec)
	}
	for i := range o.world.ClusterIssuers {
		issuer := &o.world.ClusterIssuers[i]
		o.authority(o.clusterIssuers[i], qualified("", issuer.Name), &issuer.Spec)
	}
	for i := range o.world.Certificates {
		o.issuerRef(o.certificates[i], &o.world.Certificates[i])
	}
}

// at returns a function that gathers problems of the object at a place, by the path inside it.
func (o *objects) at(object place) func(path, what, hint string) {
	return func(path, what, hint string) {
		o.add(object.file, join(object.path, path), what, hint)
	}
}

// issuer checks that an issuer is of exactly one supported kind.
func (o *objects) issuer(object place, spec *certmanager.IssuerSpec) {
	problem := o.at(object)
	unsupported := map[string]bool{
		"acme": spec.ACME != nil, "vault": spec.Vault != nil, "venafi": spec.Venafi != nil,
	}
	given := 0
	for _, kind := range []string{"acme", "vault", "venafi"} {
		if unsupported[kind] {
			given++
			problem("spec."+kind, "is not supported: issuers are selfSigned or ca", "")
		}
	}
	if spec.SelfSigned != nil {
		given++
	}
	if spec.CA != nil {
		given++
		if spec.CA.SecretName == "" {
			problem("spec.ca.secretName", "is required", "")
		}
	}
	if given != 1 {
		problem("spec",
			fmt.Sprintf("must hold exactly one of selfSigned and ca, not %d", given), "")
	}
}

// authority checks that the Secret of a CA issuer is written by a Certificate of a CA.
func (o *objects) authority(object place, name string, spec *certmanager.IssuerSpec) {
	secret := o.world.AuthorityOf(name)
	if spec.CA == nil || spec.CA.SecretName == "" {
		return
	}
	problem := o.at(object)
	certificate := o.world.CertificateOf(secret)
	switch {
	case certificate == nil && o.world.CertificateOf(qualified(DefaultNamespace,
		spec.CA.SecretName)) != nil && name[0] == '/':
		problem("spec.ca.secretName", "no Certificate writes the Secret "+secret,
			"a ClusterIssuer's Secret is looked for in namespace "+ClusterResourceNamespace)
	case certificate == nil:
		problem("spec.ca.secretName", "no Certificate writes the Secret "+secret,
			didYouMeanOr(secret, "Secret", o.world.secretNames()))
	case !certificate.Spec.IsCA:
		problem("spec.ca.secretName", fmt.Sprintf("the Certificate of %s is no CA", secret),
			"set isCA: true in Certificate "+NameOf(certificate))
	}
}

// issuerRef checks that a Certificate's issuer exists, and that it can ever be issued.
func (o *objects) issuerRef(object place, certificate *certmanager.Certificate) {
	ref := certificate.Spec.IssuerRef
	if ref.Name == "" || ref.Group != certManagerGroup {
		return
	}
	problem := o.at(object)
	if name := IssuerOf(certificate); o.world.Issuer(name) == nil {
		hint := didYouMeanOr(name, "issuer", o.world.issuerNames())
		if ref.Kind == certmanager.IssuerKind && o.world.Issuer(qualified("", ref.Name)) != nil {
			hint = "it is a ClusterIssuer: set kind: ClusterIssuer"
		}
		problem("spec.issuerRef.name", fmt.Sprintf("there is no %s %s", ref.Kind, name), hint)
		return
	}
	if o.waitsForItself(certificate) {
		problem("spec.issuerRef.name", "can never be issued: its issuer waits for it",
			"have a selfSigned issuer issue the root")
	}
}

// waitsForItself reports whether the Certificate signs itself, by way of its issuer.
func (o *objects) waitsForItself(certificate *certmanager.Certificate) bool {
	seen := map[string]bool{}
	for signer := certificate; signer != nil && !seen[NameOf(signer)]; {
		seen[NameOf(signer)] = true
		signer = o.world.CertificateOf(o.world.AuthorityOf(IssuerOf(signer)))
		if signer == certificate {
			return true
		}
	}
	return false
}

// uniqueSecrets checks that no two Certificates write the same Secret.
func (o *objects) uniqueSecrets() {
	first := map[string]string{}
	for i := range o.world.Certificates {
		certificate := &o.world.Certificates[i]
		if certificate.Spec.SecretName == "" {
			continue
		}
		secret := SecretOf(certificate)
		if other, again := first[secret]; again && other != NameOf(certificate) {
			o.at(o.certificates[i])("spec.secretName",
				fmt.Sprintf("Certificate %s writes the Secret %s too", other, secret),
				"cert-manager issues neither")
			continue
		}
		first[secret] = NameOf(certificate)
	}
	rotated := map[string]bool{}
	for i := range o.world.RotatingSecrets {
		secret := RotatedBy(&o.world.RotatingSecrets[i])
		problem := o.at(o.rotating[i])
		if other := first[secret]; other != "" {
			problem("spec.secretName",
				fmt.Sprintf("Certificate %s writes the Secret %s too", other, secret), "")
		} else if rotated[secret] {
			problem("spec.secretName",
				fmt.Sprintf("another RotatingSecret writes the Secret %s too", secret), "")
		}
		rotated[secret] = true
	}
}

// rotation checks what a RotatingSecret asks for, as its operator does.
func (o *objects) rotation(object place, rotating *rotator.RotatingSecret) {
	problem := o.at(object)
	spec, problems := rotating.Spec.Rotation()
	for _, p := range append(problems, spec.Validate()...) {
		problem("spec."+p.Path, p.What, p.Hint)
	}
	if m := rotating.Spec.Migration; m != nil {
		o.migration(object, RotatedBy(rotating), m.JobTemplate.Raw)
	}
	if orders := rotating.Spec.Orders; orders != (rotator.Orders{}) {
		problem("spec.orders", "are given by faults in scenarios", "use rotateKeys")
	}
	if spec.Gate == rotation.Uptake && rotating.Spec.Consumers == nil {
		problem("spec.consumers", "the gate uptake has nobody to ask",
			"say which pods to ask by labels "+PodWorkload+": <workload>")
	}
}

// dnsSubdomain returns what is wrong with a name of a Kubernetes object, or "".
func dnsSubdomain(name string) string {
	if len(validation.IsDNS1123Subdomain(name)) == 0 {
		return ""
	}
	return fmt.Sprintf("%q is not a DNS name: lower-case letters, digits, '-' and '.'", name)
}

// dnsLabel returns what is wrong with a name that must be a DNS label, or "".
func dnsLabel(name string) string {
	if len(validation.IsDNS1123Label(name)) == 0 {
		return ""
	}
	return fmt.Sprintf("%q is not a DNS label: up to 63 lower-case letters, digits and '-'", name)
}
