package operator

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// errBound is of a way to reach a cluster that only the process has which was given it.
var errBound = errors.New("how the cluster is reached cannot be told to another process: use a " +
	"kubeconfig")

// kubeconfig writes how a cluster is reached as a kubeconfig.
func kubeconfig(config *rest.Config) ([]byte, error) {
	if config.Transport != nil || config.WrapTransport != nil || config.Dial != nil {
		return nil, errBound
	}
	const name = "run"
	cluster := clientcmdapi.NewCluster()
	cluster.Server = config.Host
	cluster.TLSServerName = config.ServerName
	cluster.InsecureSkipTLSVerify = config.Insecure
	cluster.CertificateAuthority = config.CAFile
	cluster.CertificateAuthorityData = config.CAData
	cluster.DisableCompression = config.DisableCompression
	var err error
	if cluster.ProxyURL, err = proxy(config); err != nil {
		return nil, err
	}
	user := clientcmdapi.NewAuthInfo()
	user.ClientCertificate, user.ClientCertificateData = config.CertFile, config.CertData
	user.ClientKey, user.ClientKeyData = config.KeyFile, config.KeyData
	user.Token, user.TokenFile = config.BearerToken, config.BearerTokenFile
	user.Username, user.Password = config.Username, config.Password
	user.Impersonate, user.ImpersonateUID = config.Impersonate.UserName, config.Impersonate.UID
	user.ImpersonateGroups = config.Impersonate.Groups
	user.ImpersonateUserExtra = config.Impersonate.Extra
	user.Exec, user.AuthProvider = config.ExecProvider, config.AuthProvider
	link := clientcmdapi.NewContext()
	link.Cluster, link.AuthInfo = name, name
	all := clientcmdapi.NewConfig()
	all.Clusters[name], all.AuthInfos[name], all.Contexts[name] = cluster, user, link
	all.CurrentContext = name
	text, err := clientcmd.Write(*all)
	if err != nil {
		return nil, fmt.Errorf("write a kubeconfig: %w", err)
	}
	return text, nil
}

// proxy returns the proxy that requests to the cluster go through, "" for none.
func proxy(config *rest.Config) (string, error) {
	if config.Proxy == nil {
		return "", nil
	}
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", fmt.Errorf("read the cluster's address: %w", err)
	}
	through, err := config.Proxy(&http.Request{URL: &url.URL{Scheme: host.Scheme, Host: host.Host}})
	if err != nil || through == nil {
		return "", err
	}
	return through.String(), nil
}
