package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a kubeconfig at path for the holder of an issued identity. The credentials
// are embedded, so that the file alone suffices.
func (a *Authority) Kubeconfig(path, identity, server string) error {
	cert, err := os.ReadFile(a.Path(identity + ".crt"))
	if err != nil {
		return fmt.Errorf("kubeconfig for %s: %w", identity, err)
	}
	key, err := os.ReadFile(a.Path(identity + ".key"))
	if err != nil {
		return fmt.Errorf("kubeconfig for %s: %w", identity, err)
	}
	const name = "certquake-embedded"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: server, CertificateAuthorityData: a.pem}
	config.AuthInfos[identity] = &api.AuthInfo{
		ClientCertificateData: cert, ClientKeyData: key,
	}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: identity}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig for %s: %w", identity, err)
	}
	return nil
}
