package scenarios

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
)

// NameOf returns the Certificate's name as plans have it, namespace/name.
func NameOf(certificate *certmanager.Certificate) string {
	return qualified(certificate.Namespace, certificate.Name)
}

// SecretOf returns the name of the Certificate's Secret as plans have it, namespace/name.
func SecretOf(certificate *certmanager.Certificate) string {
	return qualified(certificate.Namespace, certificate.Spec.SecretName)
}

// IssuerOf returns the name of the Certificate's issuer as plans have it: namespace/name of an
// Issuer, /name of a ClusterIssuer.
func IssuerOf(certificate *certmanager.Certificate) string {
	if certificate.Spec.IssuerRef.Kind == certmanager.ClusterIssuerKind {
		return qualified("", certificate.Spec.IssuerRef.Name)
	}
	return qualified(certificate.Namespace, certificate.Spec.IssuerRef.Name)
}

// Certificate returns the Certificate of the name namespace/name, or nil.
func (w *World) Certificate(name string) *certmanager.Certificate {
	for i := range w.Certificates {
		if NameOf(&w.Certificates[i]) == name {
			return &w.Certificates[i]
		}
	}
	return nil
}

// RotatedBy returns the name of the RotatingSecret's Secret as plans have it, namespace/name.
func RotatedBy(rotating *rotator.RotatingSecret) string {
	return qualified(rotating.Namespace, rotating.TargetName())
}

// RotatingSecretOf returns the RotatingSecret that writes the Secret namespace/name, or nil.
func (w *World) RotatingSecretOf(secret string) *rotator.RotatingSecret {
	for i := range w.RotatingSecrets {
		if RotatedBy(&w.RotatingSecrets[i]) == secret {
			return &w.RotatingSecrets[i]
		}
	}
	return nil
}

// CertificateOf returns the Certificate that writes the Secret namespace/name, or nil.
func (w *World) CertificateOf(secret string) *certmanager.Certificate {
	for i := range w.Certificates {
		if SecretOf(&w.Certificates[i]) == secret {
			return &w.Certificates[i]
		}
	}
	return nil
}

// Issuer returns what the issuer of the name namespace/name, or /name, does, or nil.
func (w *World) Issuer(name string) *certmanager.IssuerSpec {
	for i := range w.Issuers {
		if qualified(w.Issuers[i].Namespace, w.Issuers[i].Name) == name {
			return &w.Issuers[i].Spec
		}
	}
	for i := range w.ClusterIssuers {
		if qualified("", w.ClusterIssuers[i].Name) == name {
			return &w.ClusterIssuers[i].Spec
		}
	}
	return nil
}

// AuthorityOf returns the name of the Secret, namespace/name, that holds the CA of the issuer; ""
// if the issuer is not a CA issuer.
func (w *World) AuthorityOf(issuer string) string {
	spec := w.Issuer(issuer)
	if spec == nil || spec.CA == nil {
		return ""
	}
	for i := range w.Issuers {
		if qualified(w.Issuers[i].Namespace, w.Issuers[i].Name) == issuer {
			return qualified(w.Issuers[i].Namespace, spec.CA.SecretName)
		}
	}
	return qualified(ClusterResourceNamespace, spec.CA.SecretName)
}

// LeavesOf returns the names of the Certificates signed by the CA in the Certificate's Secret, and
// by the CAs it signed, parents before children, each level in the order of the manifests.
func (w *World) LeavesOf(authority *certmanager.Certificate) []string {
	var names []string
	seen := map[string]bool{SecretOf(authority): true}
	for queue := []string{SecretOf(authority)}; len(queue) > 0; queue = queue[1:] {
		for i := range w.Certificates {
			certificate := &w.Certificates[i]
			if w.AuthorityOf(IssuerOf(certificate)) != queue[0] || seen[SecretOf(certificate)] {
				continue
			}
			seen[SecretOf(certificate)] = true
			names = append(names, NameOf(certificate))
			queue = append(queue, SecretOf(certificate))
		}
	}
	return names
}

// certificateNames returns the names of all Certificates, for hints.
func (w *World) certificateNames() []string {
	var names []string
	for i := range w.Certificates {
		names = append(names, NameOf(&w.Certificates[i]))
	}
	return names
}

// secretNames returns the names of all Secrets, for hints.
func (w *World) secretNames() []string {
	var names []string
	for i := range w.Certificates {
		names = append(names, SecretOf(&w.Certificates[i]))
	}
	return names
}

// issuerNames returns the names of all issuers, for hints.
func (w *World) issuerNames() []string {
	var names []string
	for i := range w.Issuers {
		names = append(names, qualified(w.Issuers[i].Namespace, w.Issuers[i].Name))
	}
	for i := range w.ClusterIssuers {
		names = append(names, qualified("", w.ClusterIssuers[i].Name))
	}
	return names
}
