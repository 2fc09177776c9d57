package rotator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/rotation"
)

// The bounds of one look at consumers. All of a thousand silent ones take half a minute.
const (
	askersMax = 64
	answerMax = 2 * time.Second
	pageMax   = 8 << 20 // bytes
)

// answer is what a consumer told.
type answer struct {
	consumer string
	rings    []rotation.Ring // of the Secret
	seen     time.Time       // when it was asked: what it tells is not older
	err      error           // why it told nothing at all
}

// scraper asks consumers.
type scraper struct {
	client *http.Client
	now    func() time.Time
}

func newScraper(now func() time.Time, ask http.RoundTripper) *scraper {
	if ask == nil {
		// No proxy: pods are asked and nobody else. No connection stays, since a pod's address may
		// be another's by the next time.
		ask = &http.Transport{DisableKeepAlives: true}
	}
	return &scraper{now: now, client: &http.Client{
		Timeout: answerMax, Transport: ask,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// consumes reports whether a pod may have read a Secret.
func consumes(pod *core.Pod) bool {
	return pod.Spec.NodeName != "" && pod.Status.Phase != core.PodSucceeded &&
		pod.Status.Phase != core.PodFailed
}

// ask asks all pods at once, and returns an answer for each, in their order.
func (s *scraper) ask(ctx context.Context, pods []core.Pod, e *endpoint, secret string) []answer {
	answers := make([]answer, len(pods))
	room := make(chan struct{}, askersMax)
	var asking sync.WaitGroup
	for i := range pods {
		room <- struct{}{}
		asking.Go(func() {
			defer func() { <-room }()
			a := answer{consumer: pods[i].Name, seen: s.now()}
			a.rings, a.err = s.askOne(ctx, &pods[i], e, secret)
			answers[i] = a
		})
	}
	asking.Wait()
	return answers
}

// Why a consumer told nothing.
var (
	errNoAddress = errors.New("it has no address yet")
	errNoPort    = errors.New("none of its containers has the port")
	errAway      = errors.New("it cannot be reached")
	errPage      = errors.New("it has no page of metrics at the path")
)

// silence says why a consumer told nothing of the Secret, in words that are the same each time.
func (a answer) silence() string {
	for _, err := range []error{errNoAddress, errNoPort, errPage, errAway} {
		if errors.Is(a.err, err) {
			return err.Error()
		}
	}
	return "it does not export " + keyring.MetricInfo + " for the Secret"
}

func (s *scraper) askOne(
	ctx context.Context, pod *core.Pod, e *endpoint, secret string,
) ([]rotation.Ring, error) {
	if pod.Status.PodIP == "" {
		return nil, errNoAddress
	}
	port, ok := portOf(pod, e.port)
	if !ok {
		return nil, fmt.Errorf("%w %s", errNoPort, e.port.String())
	}
	at := url.URL{
		Scheme: "http", Host: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port)), Path: e.path,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", errPage, response.Status)
	}
	return rings(http.MaxBytesReader(nil, response.Body, pageMax), secret)
}

// portOf finds a port by its number or name.
func portOf(pod *core.Pod, port intstr.IntOrString) (int, bool) {
	if port.Type == intstr.Int {
		return port.IntValue(), true
	}
	for _, container := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		for _, p := range container.Ports {
			if p.Name == port.StrVal {
				return int(p.ContainerPort), true
			}
		}
	}
	return 0, false
}

// rings returns the rings of a Secret that a page of metrics tells.
func rings(page io.Reader, secret string) ([]rotation.Ring, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPage, err)
	}
	var found []rotation.Ring
	for _, metric := range families[keyring.MetricInfo].GetMetric() {
		labels := map[string]string{}
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if labels[keyring.SecretLabel] != secret || valueOf(metric) != 1 {
			continue
		}
		found = append(found, rotation.Ring{
			Primary: labels[keyring.PrimaryLabel], IDs: idsOf(labels[keyring.IDsLabel]),
		})
	}
	return found, nil
}

// valueOf returns the value, of a metric without a type too.
func valueOf(metric *dto.Metric) float64 {
	if metric.Gauge != nil {
		return metric.GetGauge().GetValue()
	}
	return metric.GetUntyped().GetValue()
}

func idsOf(text string) []string {
	ids := slices.DeleteFunc(strings.Split(text, ","), func(id string) bool { return id == "" })
	slices.Sort(ids)
	return slices.Compact(ids)
}

// reports is what a rotation makes of answers: who tells nothing of the Secret is silent.
func reports(answers []answer) []rotation.Report {
	var all []rotation.Report
	for _, a := range answers {
		if len(a.rings) == 0 {
			all = append(all, rotation.Report{Consumer: a.consumer})
		}
		for _, ring := range a.rings {
			all = append(all, rotation.Report{Consumer: a.consumer, Ring: ring, Seen: a.seen})
		}
	}
	return all
}
