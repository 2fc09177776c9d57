package kube

import (
	"fmt"
	"slices"
	"strings"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/bearer"
	"github.com/certquake/certquake/workloads/peer"
)

// role is what a workload's pods are: the command of the workload program, and the names of its
// ports. Pods with keys name the one of their metrics as a RotatingSecret finds it by default.
type role struct{ command, port, admin string }

func roleOf(plan *scenarios.Plan, workload string) role {
	if plan.TokensOf(workload) != nil {
		return role{command: "tokens", port: "http", admin: "metrics"}
	}
	return role{command: "peers", port: "tls", admin: "admin"}
}

// addressOf returns where a pod of a workload is connected to.
func addressOf(pod string, of scenarios.Consumer) string {
	return fmt.Sprintf("%s.%s.%s.svc.cluster.local.:%d", pod, of.Workload, of.Namespace, peerPort)
}

// streams returns what a pod does by schedule.
func streams(
	plan *scenarios.Plan, pod string, target func(name string) peer.Target,
) []peer.Stream {
	var all []peer.Stream
	for _, s := range plan.Streams {
		if s.Source != pod {
			continue
		}
		stream := peer.Stream{Every: s.Every, Phase: s.Phase, First: s.First}
		for _, name := range plan.Targets(s) {
			stream.Targets = append(stream.Targets, target(name))
		}
		if len(stream.Targets) > 0 {
			all = append(all, stream)
		}
	}
	return all
}

// peerConfig returns what one pod is told.
func peerConfig(
	plan scenarios.Plan, groups map[string]scenarios.PeerGroup, pod scenarios.Pod,
) peer.Config {
	group := groups[pod.Workload]
	config := peer.Config{
		Pod: pod.Name, Mount: mountPath, State: statePath,
		Listen: fmt.Sprintf(":%d", peerPort), Admin: fmt.Sprintf(":%d", adminPort),
		Policy: harness.Policy(group), Read: harness.Reading(group), TLS: harness.TLS(group),
		ReadGap: group.ReadGap, CacheAge: pod.CacheAge,
		Horizon: plan.Horizon, Deadline: attemptDeadline, Retry: group.Retry,
	}
	workload := map[string]string{}
	for _, p := range plan.Pods {
		workload[p.Name] = p.Workload
	}
	target := func(name string) peer.Target {
		far := groups[workload[name]]
		return peer.Target{
			Pod: name, ServerName: far.ServerName, Address: addressOf(name, far.Consumer),
		}
	}
	config.Streams = streams(&plan, pod.Name, target)
	var fellows []string
	for _, p := range plan.Pods {
		if p.Workload == group.Workload {
			fellows = append(fellows, p.Name)
		}
	}
	self := slices.Index(fellows, pod.Name)
	for _, name := range harness.Associates(group, fellows, self) {
		config.Associations = append(config.Associations, target(name))
	}
	return config
}

// tokenConfig returns what one pod with tokens is told.
func tokenConfig(
	plan *scenarios.Plan, group *scenarios.TokenGroup, pod scenarios.Pod,
) bearer.Config {
	_, secret, _ := strings.Cut(group.Secret, "/")
	config := bearer.Config{
		Pod: pod.Name, State: statePath,
		Listen: fmt.Sprintf(":%d", peerPort), Admin: fmt.Sprintf(":%d", adminPort),
		Role: bearer.Verifier, Secret: secret, Token: harness.TokenSettings(group),
		CacheAge: pod.CacheAge, TokenAge: pod.TokenAge, KeysAge: pod.KeysAge, Reuse: group.Reuse,
		Horizon: plan.Horizon, Deadline: harness.RequestDeadline,
	}
	if group.Role == scenarios.Issues {
		config.Role = bearer.Issuer
	}
	if group.JWKS == nil {
		config.Mount, config.KeyringTTL = mountPath, harness.KeyringSettings(group).TTL
	} else if from := plan.TokensOf(group.JWKS.From); from != nil {
		config.JWKS = &bearer.JWKS{
			Policy: group.JWKS.Policy(),
			Address: fmt.Sprintf("http://%s.%s.svc.cluster.local.:%d%s",
				from.Workload, from.Namespace, peerPort, bearer.PathKeys),
		}
	}
	workload := map[string]string{}
	for _, p := range plan.Pods {
		workload[p.Name] = p.Workload
	}
	config.Streams = streams(plan, pod.Name, func(name string) peer.Target {
		target := peer.Target{Pod: name}
		if far := plan.TokensOf(workload[name]); far != nil {
			target.Address = addressOf(name, far.Consumer)
		}
		return target
	})
	return config
}
