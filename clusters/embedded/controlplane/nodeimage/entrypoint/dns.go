package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

const (
	// dockerDNS is where Docker's name server seems to be in each container. Pods take over
	// the node's resolv.conf, and for them it is their own loopback.
	dockerDNS  = "127.0.0.11"
	resolvConf = "/etc/resolv.conf"
)

// dns moves Docker's name server to the address of the gateway, which pods can reach, by
// rewriting Docker's own rules of address translation.
func dns(ctx context.Context) error {
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return err
	}
	gateway, err := defaultGateway(string(table))
	if err != nil {
		return err
	}
	// Docker's rules are in either of two places, by the iptables of the machine. The other one
	// may not even exist in this kernel.
	found, err := redirectRules(ctx, "nft", gateway.String())
	if err == nil && !found { // to look into these makes them
		_, err = redirectRules(ctx, "legacy", gateway.String())
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(resolvConf)
	if err != nil {
		return err
	}
	search, told := os.LookupEnv("KIND_DNS_SEARCH")
	resolver := strings.ReplaceAll(string(text), dockerDNS, gateway.String())
	if told {
		resolver = searchOnly(resolver, search)
	}
	return os.WriteFile(resolvConf, []byte(resolver), 0o644)
}

// redirectRules says whether a flavour of iptables has Docker's rules, and rewrites them.
func redirectRules(ctx context.Context, flavour, gateway string) (bool, error) {
	saved, err := exec.CommandContext(ctx, "iptables-"+flavour+"-save", "-t", "nat").Output()
	if err != nil || !strings.Contains(string(saved), dockerDNS) {
		return false, nil //nolint:nilerr // none are here, or the kernel lacks this flavour
	}
	restore := exec.CommandContext(ctx, "iptables-"+flavour+"-restore", "-T", "nat")
	restore.Stdin = strings.NewReader(redirect(string(saved), gateway))
	if output, err := restore.CombinedOutput(); err != nil {
		said := strings.TrimSpace(string(output))
		return true, fmt.Errorf("rewrite Docker's rules: %w: %s", err, said)
	}
	return true, nil
}

// redirect rewrites the output of iptables-save so that Docker's name server answers at the
// gateway's address, to the node and, which comes by another chain, to its pods. Rules that
// were rewritten already are left alone.
func redirect(rules, gateway string) string {
	var out strings.Builder
	for line := range strings.Lines(rules) {
		line = strings.Replace(line, "-d "+dockerDNS, "-d "+gateway, 1)
		line = strings.Replace(line, "--to-source :53", "--to-source "+gateway+":53", 1)
		// Some versions of iptables lose the port when they print a rule of nftables, and all
		// of the gateway would be redirected.
		if strings.Contains(line, "--to-destination "+dockerDNS) &&
			!strings.Contains(line, "--dport") {
			line = strings.Replace(line, " -j DNAT", " --dport 53 -j DNAT", 1)
		}
		out.WriteString(line)
		if rest, found := strings.CutPrefix(line, "-A OUTPUT "); found &&
			strings.Contains(rest, "-j DOCKER_OUTPUT") {
			if from := "-A PREROUTING " + rest; !strings.Contains(rules, from) {
				out.WriteString(from)
			}
		}
	}
	return out.String()
}

// searchOnly replaces the search domains of a resolv.conf, by none if there are none.
func searchOnly(resolver, domains string) string {
	text := without(strings.ReplaceAll(resolver, "search ", "search\t"), "search")
	if domains == "" {
		return text
	}
	return "search " + domains + "\n" + text
}

// defaultGateway reads /proc/net/route, whose addresses are hexadecimal in the order of bytes
// of the machine.
func defaultGateway(table string) (netip.Addr, error) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
			continue
		}
		word, err := hex.DecodeString(fields[2])
		if err != nil || len(word) != 4 {
			return netip.Addr{}, fmt.Errorf("gateway %q in /proc/net/route", fields[2])
		}
		var address [4]byte
		binary.NativeEndian.PutUint32(address[:], binary.BigEndian.Uint32(word))
		return netip.AddrFrom4(address), nil
	}
	return netip.Addr{}, errors.New("the container has no default route")
}
