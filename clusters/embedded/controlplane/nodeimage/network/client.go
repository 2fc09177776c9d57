package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// account is where a pod finds its credentials for the API server.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// peer is a node as the others need to know it.
type peer struct {
	address string
	pods    *net.IPNet
}

// client lists nodes. Kubernetes' own client would make this program ten times as large.
type client struct {
	http    *http.Client
	url     string
	account string
}

// newClient reaches the API server without Services if kind says how: kube-proxy may come later.
func newClient(env func(string) string) (*client, error) {
	server := env("CONTROL_PLANE_ENDPOINT")
	if server == "" {
		server = net.JoinHostPort(env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT"))
	}
	pem, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in the service account's ca.crt")
	}
	return &client{
		url: "https://" + server + "/api/v1/nodes", account: account,
		http: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		}},
	}, nil
}

// nodes are all that have an address and a range for their pods already.
func (c *client) nodes(ctx context.Context) ([]peer, error) {
	// The kubelet replaces the token every now and then.
	token, err := os.ReadFile(filepath.Join(c.account, "token"))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list nodes: %s", response.Status)
	}
	return decode(response.Body)
}

// list is what we read of a NodeList.
type list struct {
	Items []struct {
		Spec struct {
			PodCIDR string `json:"podCIDR"`
		} `json:"spec"`
		Status struct {
			Addresses []struct {
				Type    string `json:"type"`
				Address string `json:"address"`
			} `json:"addresses"`
		} `json:"status"`
	} `json:"items"`
}

func decode(body io.Reader) ([]peer, error) {
	var all list
	if err := json.NewDecoder(body).Decode(&all); err != nil {
		return nil, fmt.Errorf("read nodes: %w", err)
	}
	var peers []peer
	for _, item := range all.Items {
		_, pods, err := net.ParseCIDR(item.Spec.PodCIDR)
		if err != nil {
			continue // a node that has just joined
		}
		for _, one := range item.Status.Addresses {
			if one.Type == "InternalIP" {
				peers = append(peers, peer{address: one.Address, pods: pods})
				break
			}
		}
	}
	return peers, nil
}
