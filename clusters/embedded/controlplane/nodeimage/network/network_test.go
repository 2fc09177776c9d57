package main

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodeLeavesOutNodesWithoutPods(t *testing.T) {
	peers, err := decode(strings.NewReader(`{"items":[
		{"spec":{},"status":{"addresses":[{"type":"InternalIP","address":"172.18.0.2"}]}},
		{"spec":{"podCIDR":"10.244.1.0/24"},"status":{"addresses":[
			{"type":"Hostname","address":"one"},{"type":"InternalIP","address":"172.18.0.3"},
			{"type":"InternalIP","address":"fc00::3"}]}}]}`))
	require.NoError(t, err)
	require.Len(t, peers, 1)
	assert.Equal(t, "172.18.0.3", peers[0].address)
	assert.Equal(t, "10.244.1.0/24", peers[0].pods.String())
}

func TestConflist(t *testing.T) {
	_, pods, err := net.ParseCIDR("10.244.1.0/24")
	require.NoError(t, err)
	got, err := conflist(pods, 1450)
	require.NoError(t, err)
	assert.JSONEq(t, `{"cniVersion":"0.4.0","name":"certquake","plugins":[
		{"type":"ptp","mtu":1450,"ipam":{"type":"host-local","dataDir":"/run/cni-addresses",
			"routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.244.1.0/24"}]]}},
		{"type":"portmap","capabilities":{"portMappings":true}}]}`, string(got))
}

func TestRulesNameThePodsTwice(t *testing.T) {
	_, pods, err := net.ParseCIDR("10.244.0.0/16")
	require.NoError(t, err)
	assert.Contains(t, rules(pods), "ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 ")
}
