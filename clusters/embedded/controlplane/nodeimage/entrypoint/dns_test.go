package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rules are what Docker writes in a container of a network with names.
const rules = `*nat
:OUTPUT ACCEPT [0:0]
:DOCKER_OUTPUT - [0:0]
:DOCKER_POSTROUTING - [0:0]
-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT
-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:4001
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -j DNAT --to-destination 127.0.0.11:4002
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport 4002 -j SNAT --to-source :53
COMMIT
`

const redirected = `*nat
:OUTPUT ACCEPT [0:0]
:DOCKER_OUTPUT - [0:0]
:DOCKER_POSTROUTING - [0:0]
-A OUTPUT -d 172.18.0.1/32 -j DOCKER_OUTPUT
-A PREROUTING -d 172.18.0.1/32 -j DOCKER_OUTPUT
-A POSTROUTING -d 172.18.0.1/32 -j DOCKER_POSTROUTING
-A DOCKER_OUTPUT -d 172.18.0.1/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:4001
-A DOCKER_OUTPUT -d 172.18.0.1/32 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:4002
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport 4002 -j SNAT --to-source 172.18.0.1:53
COMMIT
`

func TestRedirectMovesTheNameServerToTheGateway(t *testing.T) {
	assert.Equal(t, redirected, redirect(rules, "172.18.0.1"))
}

func TestRedirectTwiceIsRedirectOnce(t *testing.T) {
	assert.Equal(t, redirected, redirect(redirected, "172.18.0.1"))
}

func TestSearchOnly(t *testing.T) {
	const resolver = "search a.example b.example\nnameserver 172.18.0.1\n"
	for _, row := range []struct{ name, domains, want string }{
		{"other domains", "c.example", "search c.example\nnameserver 172.18.0.1\n"},
		{"none", "", "nameserver 172.18.0.1\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, searchOnly(resolver, row.domains))
		})
	}
}

func TestDefaultGateway(t *testing.T) {
	const header = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
	got, err := defaultGateway(header +
		"eth0 000012AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n" +
		"eth0 00000000 010012AC 0003 0 0 0 00000000 0 0 0\n")
	require.NoError(t, err)
	assert.Equal(t, "172.18.0.1", got.String())
	_, err = defaultGateway(header)
	assert.ErrorContains(t, err, "no default route")
}
