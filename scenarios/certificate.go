package scenarios

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

// complain gathers a problem at a path inside an object.
type complain func(path, what, hint string)

// checkCertificate checks a Certificate by cert-manager's own limits, and that certquake supports
// what it asks for.
func checkCertificate(report complain, certificate *certmanager.Certificate) {
	spec := &certificate.Spec
	sound := true
	problem := func(path, what, hint string) {
		sound = false
		report(path, what, hint)
	}
	if spec.SecretName == "" {
		problem("spec.secretName", "is required", "")
	} else if what := dnsSubdomain(spec.SecretName); what != "" {
		problem("spec.secretName", what, "")
	}
	checkIssuerRef(problem, spec)
	checkUnsupported(problem, spec)
	checkSubject(problem, spec)
	checkLifetime(problem, spec)
	checkPrivateKey(problem, spec)
	for i, usage := range spec.Usages {
		if !slices.Contains(usages(), string(usage)) {
			problem("spec.usages["+strconv.Itoa(i)+"]",
				fmt.Sprintf("%q is no key usage", usage), didYouMean(string(usage), usages()))
		}
	}
	if sound {
		checkMints(problem, certificate)
	}
}

func checkIssuerRef(problem complain, spec *certmanager.CertificateSpec) {
	ref := spec.IssuerRef
	if ref.Name == "" {
		problem("spec.issuerRef.name", "is required", "")
	}
	kinds := []string{certmanager.IssuerKind, certmanager.ClusterIssuerKind}
	if ref.Group != certManagerGroup {
		problem("spec.issuerRef.group", fmt.Sprintf("%q is not supported: external issuers cannot "+
			"be performed", ref.Group), "")
	} else if what, hint := notOneOf(ref.Kind, kinds); what != "" {
		problem("spec.issuerRef.kind", what, hint)
	}
}

// checkUnsupported refuses what would change the behaviour under test but is not performed.
func checkUnsupported(problem complain, spec *certmanager.CertificateSpec) {
	unsupported := []struct {
		path  string
		given bool
		why   string
	}{
		{"spec.keystores", spec.Keystores != nil, "key stores are not written yet"},
		{"spec.renewal", spec.Renewal != nil, "renewal policies and windows are not performed yet"},
		{"spec.nameConstraints", spec.NameConstraints != nil, "name constraints are not set yet"},
		{"spec.literalSubject", spec.LiteralSubject != "", "use commonName and subject"},
		{"spec.otherNames", len(spec.OtherNames) > 0, "use dnsNames"},
	}
	for _, u := range unsupported {
		if u.given {
			problem(u.path, "is not supported: "+u.why, "")
		}
	}
}

// subjectMax is the length of a common name that X.509 allows.
const subjectMax = 64

func checkSubject(problem complain, spec *certmanager.CertificateSpec) {
	names := len(spec.DNSNames) + len(spec.URIs) + len(spec.EmailAddresses) + len(spec.IPAddresses)
	if spec.CommonName == "" && names == 0 && spec.LiteralSubject == "" && spec.OtherNames == nil {
		problem("spec", "names nothing",
			"set one of commonName, dnsNames, ipAddresses, uris and emailAddresses")
	}
	if len(spec.CommonName) > subjectMax {
		problem("spec.commonName",
			fmt.Sprintf("is longer than %d characters", subjectMax), "use dnsNames")
	}
	for i, address := range spec.IPAddresses {
		if net.ParseIP(address) == nil {
			problem("spec.ipAddresses["+strconv.Itoa(i)+"]",
				fmt.Sprintf("%q is not an IP address", address), "")
		}
	}
}

// checkMints issues the Certificate once, so that names which X.509 cannot hold are found here and
// not in the middle of a run.
func checkMints(problem complain, certificate *certmanager.Certificate) {
	template, err := pki.CertificateTemplateFromCertificate(certificate)
	if err != nil {
		problem("spec", "cannot be issued: "+err.Error(), "")
		return
	}
	template.SerialNumber, template.SignatureAlgorithm = big.NewInt(1), 0
	public, private, err := ed25519.GenerateKey(nil)
	if err == nil {
		var der []byte
		der, err = x509.CreateCertificate(nil, template, template, public, private)
		if err == nil {
			_, err = x509.ParseCertificate(der)
		}
	}
	if err != nil {
		problem("spec", "cannot be issued: "+err.Error(),
			"dnsNames and emailAddresses are ASCII, uris are URIs")
	}
}

// checkLifetime applies cert-manager's limits (internal/apis/certmanager/validation).
func checkLifetime(problem complain, spec *certmanager.CertificateSpec) {
	duration := certmanager.DefaultCertificateDuration
	if spec.Duration != nil {
		duration = spec.Duration.Duration
	}
	if duration < certmanager.MinimumCertificateDuration {
		problem("spec.duration", fmt.Sprintf("%s is below cert-manager's minimum of %s",
			shortDuration(duration), shortDuration(certmanager.MinimumCertificateDuration)), "")
		return
	}
	if spec.RenewBefore != nil && spec.RenewBeforePercentage != nil {
		problem("spec.renewBeforePercentage", "cannot be set together with renewBefore",
			"leave one out")
		return
	}
	path := "spec.renewBefore"
	var renewBefore time.Duration
	switch {
	case spec.RenewBefore != nil:
		renewBefore = spec.RenewBefore.Duration
	case spec.RenewBeforePercentage != nil:
		path = "spec.renewBeforePercentage"
		renewBefore = time.Duration(
			float64(duration) * float64(100-*spec.RenewBeforePercentage) / 100)
	default:
		return
	}
	if renewBefore < certmanager.MinimumRenewBefore {
		problem(path, fmt.Sprintf("%s before the end is below cert-manager's minimum of %s",
			shortDuration(renewBefore), shortDuration(certmanager.MinimumRenewBefore)), "")
	} else if renewBefore >= duration {
		problem(path, fmt.Sprintf("%s before the end is not within the duration of %s",
			shortDuration(renewBefore), shortDuration(duration)), "")
	}
}

func checkPrivateKey(problem complain, spec *certmanager.CertificateSpec) {
	algorithm := certmanager.RSAKeyAlgorithm
	if key := spec.PrivateKey; key != nil {
		if key.Algorithm != "" {
			algorithm = key.Algorithm
		}
		oneOf(problem, "spec.privateKey.algorithm", string(key.Algorithm),
			"RSA", "ECDSA", "Ed25519")
		oneOf(problem, "spec.privateKey.rotationPolicy", string(key.RotationPolicy),
			"Never", "Always")
		oneOf(problem, "spec.privateKey.encoding", string(key.Encoding), "PKCS1", "PKCS8")
		checkKeySize(problem, algorithm, key.Size)
	}
	signatures := map[certmanager.PrivateKeyAlgorithm][]string{
		certmanager.RSAKeyAlgorithm:     {"SHA256WithRSA", "SHA384WithRSA", "SHA512WithRSA"},
		certmanager.ECDSAKeyAlgorithm:   {"ECDSAWithSHA256", "ECDSAWithSHA384", "ECDSAWithSHA512"},
		certmanager.Ed25519KeyAlgorithm: {"PureEd25519"},
	}
	oneOf(problem, "spec.signatureAlgorithm", string(spec.SignatureAlgorithm),
		signatures[algorithm]...)
}

func checkKeySize(problem complain, algorithm certmanager.PrivateKeyAlgorithm, size int) {
	const smallestRSA, largestRSA = 2048, 8192
	curves := []int{256, 384, 521}
	switch {
	case size == 0:
	case algorithm == certmanager.RSAKeyAlgorithm && (size < smallestRSA || size > largestRSA):
		problem("spec.privateKey.size", fmt.Sprintf("%d is not between %d and %d, for RSA",
			size, smallestRSA, largestRSA), "")
	case algorithm == certmanager.ECDSAKeyAlgorithm && !slices.Contains(curves, size):
		problem("spec.privateKey.size",
			fmt.Sprintf("%d is none of 256, 384, 521, for ECDSA", size), "")
	}
}

// oneOf checks a word that may be left out.
func oneOf(problem complain, path, word string, options ...string) {
	if word == "" || len(options) == 0 {
		return
	}
	if what, hint := notOneOf(word, options); what != "" {
		problem(path, what, hint)
	}
}

// usages returns the key usages cert-manager knows.
func usages() []string {
	return strings.Split("signing,digital signature,content commitment,key encipherment,"+
		"key agreement,data encipherment,cert sign,crl sign,encipher only,decipher only,any,"+
		"server auth,client auth,code signing,email protection,s/mime,ipsec end system,"+
		"ipsec tunnel,ipsec user,timestamping,ocsp signing,microsoft sgc,netscape sgc", ",")
}
