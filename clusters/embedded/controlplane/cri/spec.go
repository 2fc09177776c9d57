package cri

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certquake/certquake/clusters/embedded/controlplane/contain"
)

// spec renders what the kubelet asks for into what ctrinit builds.
func (s *server) spec(c *container) (contain.Spec, error) {
	program, err := s.program(c.config)
	if err != nil {
		return contain.Spec{}, err
	}
	security := c.config.GetLinux().GetSecurityContext()
	capabilities, err := contain.Capabilities(security.GetCapabilities().GetAddCapabilities(),
		security.GetCapabilities().GetDropCapabilities())
	if err != nil {
		return contain.Spec{}, err
	}
	spec := contain.Spec{
		Root: c.root, Program: program, Inside: path.Join("/", filepath.Base(program)),
		Dir: c.config.GetWorkingDir(), Hostname: hostname(c.pod, s.config.Address),
		Resolv: resolv(c.pod.config.GetDnsConfig()), Mounts: mounts(c.config),
		ReadOnly: security.GetReadonlyRootfs(), NoNewPrivs: security.GetNoNewPrivs(),
		Privileged: security.GetPrivileged(), Capabilities: capabilities,
		User: int(security.GetRunAsUser().GetValue()), KeepIDs: s.config.KeepIDs,
		Group: int(security.GetRunAsGroup().GetValue()),
	}
	for _, group := range security.GetSupplementalGroups() {
		spec.Groups = append(spec.Groups, int(group))
	}
	spec.Args = arguments(spec.Inside, c.config)
	spec.Env = environment(spec.Hostname, c.config)
	return spec, nil
}

func (s *server) program(config *api.ContainerConfig) (string, error) {
	image := config.GetImage()
	for _, name := range []string{image.GetUserSpecifiedImage(), image.GetImage()} {
		if program := s.config.Images[imageName(name)]; program != "" {
			return program, nil
		}
	}
	return "", fmt.Errorf("image %q is mapped to no executable", image.GetImage())
}

// arguments follow the rule of images whose entry point is their one program.
func arguments(inside string, config *api.ContainerConfig) []string {
	command := config.GetCommand()
	if len(command) == 0 {
		command = []string{inside}
	}
	return append(append([]string{}, command...), config.GetArgs()...)
}

func environment(hostname string, config *api.ContainerConfig) []string {
	env := []string{"PATH=/:/usr/bin:/bin", "HOME=/", "HOSTNAME=" + hostname}
	for _, each := range config.GetEnvs() {
		env = append(env, each.GetKey()+"="+string(each.GetValue()))
	}
	return env
}

func mounts(config *api.ContainerConfig) []contain.Mount {
	var list []contain.Mount
	for _, mount := range config.GetMounts() {
		list = append(list, contain.Mount{
			From: mount.GetHostPath(), To: mount.GetContainerPath(),
			ReadOnly: mount.GetReadonly(),
		})
	}
	return list
}

func hostname(pod *sandbox, node string) string {
	if name := pod.config.GetHostname(); name != "" {
		return name
	}
	return node
}

func resolv(dns *api.DNSConfig) string {
	var text strings.Builder
	for _, server := range dns.GetServers() {
		fmt.Fprintln(&text, "nameserver", server)
	}
	if len(dns.GetSearches()) > 0 {
		fmt.Fprintln(&text, "search", strings.Join(dns.GetSearches(), " "))
	}
	if len(dns.GetOptions()) > 0 {
		fmt.Fprintln(&text, "options", strings.Join(dns.GetOptions(), " "))
	}
	return text.String()
}
