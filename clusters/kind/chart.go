package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	helm "helm.sh/helm/v4/pkg/engine"
)

// managerModule is cert-manager's Go module, which holds its chart.
const managerModule = "github.com/cert-manager/cert-manager"

// managerRepository begins the names of the images of cert-manager that were built here.
const managerRepository = "certquake/cert-manager-"

// chartWord is what --cert-manager says for the chart.
const chartWord = "chart"

// managerURL returns the address of a published manifest.
func managerURL(version string) string {
	return "https://" + managerModule + "/releases/download/" + version + "/cert-manager.yaml"
}

// localImages returns the images of cert-manager that are built here, by the part of the chart that
// uses them; that of the controller is the chart's own.
func localImages() map[string]string {
	return map[string]string{
		"": managerRepository + "controller", "webhook": managerRepository + "webhook",
		"cainjector": managerRepository + "cainjector",
	}
}

// managerSource returns where cert-manager is to come from: chartWord, an address or the whole path
// of a file, or nothing where nobody says.
func (o Options) managerSource() (string, error) {
	switch source := o.CertManager; {
	case source == "", source == chartWord, isAddress(source):
		return source, nil
	default:
		return filepath.Abs(source)
	}
}

func isAddress(source string) bool {
	return strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://")
}

// manifest returns cert-manager's manifest from wherever the options say.
func (c *cluster) manifest(ctx context.Context) (text []byte, source string, err error) {
	if source, err = c.options.managerSource(); err != nil {
		return nil, "", err
	}
	local := c.hasLocalImages(ctx)
	switch {
	case source == "" && local, source == chartWord:
		text, err = renderChart(ctx, certManagerVersion, local)
		return text, chartWord, err
	case source == "":
		source = managerURL(certManagerVersion)
	}
	if isAddress(source) {
		text, err = fetch(ctx, source)
		if err != nil {
			err = fmt.Errorf("%w; name a file by --cert-manager, or build cert-manager by make "+
				"node-image", err)
		}
		return text, source, err
	}
	text, err = os.ReadFile(source) //nolint:gosec // that a person names
	return text, source, err
}

// hasLocalImages reports whether the engine has all images of cert-manager that are built here.
func (c *cluster) hasLocalImages(ctx context.Context) bool {
	for _, repository := range localImages() {
		if !c.engine.has(ctx, repository+":"+certManagerVersion) {
			return false
		}
	}
	return true
}

// The bounds of a manifest that is fetched; cert-manager's has 1 MB.
const (
	fetchMax  = time.Minute
	fetchSize = 16 << 20
)

// fetch gets a manifest over HTTP.
func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchMax)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("fetch cert-manager: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch cert-manager: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch cert-manager: %s answers %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, fetchSize))
}

// chartDir returns the folder of cert-manager's chart in the module cache of the go command, which
// gets the module if it is not there.
func chartDir(ctx context.Context, version string) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errors.New("cert-manager's chart comes with its Go module, and there is no go " +
			"command: install Go, or name a manifest by --cert-manager")
	}
	//nolint:gosec // of this program's own words
	get := exec.CommandContext(ctx, "go", "mod", "download", "-json", managerModule+"@"+version)
	get.Dir = os.TempDir() // outside of any module
	var problem bytes.Buffer
	get.Stderr = &problem
	text, err := get.Output()
	var module struct {
		Dir   string `json:"Dir"`
		Error string `json:"Error"`
	}
	if jsonErr := json.Unmarshal(text, &module); err == nil {
		err = jsonErr
	}
	if err != nil {
		return "", fmt.Errorf("get the module of cert-manager %s: %w: %s%s", version, err,
			module.Error, tail(problem.String()))
	}
	return filepath.Join(module.Dir, "deploy", "charts", "cert-manager"), nil
}

// renderChart renders cert-manager's chart, with the images that are built here or the published
// ones. Its files bear no version: that is set here, and gives the images their tags.
func renderChart(ctx context.Context, version string, local bool) ([]byte, error) {
	dir, err := chartDir(ctx, version)
	if err != nil {
		return nil, err
	}
	chart, err := loader.LoadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load cert-manager's chart: %w", err)
	}
	chart.Metadata.Version, chart.Metadata.AppVersion = version, version
	values, err := util.ToRenderValues(chart, chartValues(local), common.ReleaseOptions{
		Name: managerNamespace, Namespace: managerNamespace, IsInstall: true,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("fill cert-manager's chart: %w", err)
	}
	files, err := helm.Render(chart, values)
	if err != nil {
		return nil, fmt.Errorf("render cert-manager's chart: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", managerNamespace)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(name) == ".yaml" {
			fmt.Fprintf(&out, "\n---\n%s", files[name])
		}
	}
	return out.Bytes(), nil
}

// chartValues returns the values of the chart that differ from its own.
func chartValues(local bool) map[string]any {
	values := map[string]any{
		"crds":            map[string]any{"enabled": true},
		"startupapicheck": map[string]any{"enabled": false},
	}
	if !local {
		return values
	}
	for part, repository := range localImages() {
		setting := map[string]any{"repository": repository}
		if part == "" {
			values["image"] = setting
		} else {
			values[part] = map[string]any{"image": setting}
		}
	}
	return values
}
