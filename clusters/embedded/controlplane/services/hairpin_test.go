package services

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLoopRules(t *testing.T) {
	rules := loopRules([]netip.Prefix{
		netip.MustParsePrefix("10.244.1.0/30"), netip.MustParsePrefix("10.244.2.0/31"),
	})
	assert.Contains(t, rules, "elements = { 10.244.1.0 . 10.244.1.0, 10.244.1.1 . 10.244.1.1, "+
		"10.244.1.2 . 10.244.1.2, 10.244.1.3 . 10.244.1.3, "+
		"10.244.2.0 . 10.244.2.0, 10.244.2.1 . 10.244.2.1, }")
	assert.Equal(t, 1, strings.Count(rules, "masquerade"))
}
