package credential

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Names returns the names Akka's X509Readers finds in a certificate, without repeats: the first
// common name of the subject, then the SAN entries of type dNSName. Other SAN types do not count.
func Names(cert *x509.Certificate) []string {
	names := make([]string, 0, 1+len(cert.DNSNames))
	if name, ok := commonName(cert); ok {
		names = append(names, name)
	}
	for _, name := range cert.DNSNames {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// SharedSubject is Akka's PeerSubjectVerifier: it reports whether two certificates have a name in
// common. The comparison is exact: case counts and a wildcard matches only itself.
func SharedSubject(own, peer *x509.Certificate) bool {
	names := Names(own)
	return slices.ContainsFunc(Names(peer), func(name string) bool {
		return slices.Contains(names, name)
	})
}

// commonName returns the first common name. pkix.Name.CommonName would be the last one.
func commonName(cert *x509.Certificate) (string, bool) {
	oid := asn1.ObjectIdentifier{2, 5, 4, 3}
	for _, attribute := range cert.Subject.Names {
		if name, ok := attribute.Value.(string); ok && attribute.Type.Equal(oid) {
			return name, true
		}
	}
	return "", false
}
