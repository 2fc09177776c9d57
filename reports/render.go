package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/certquake/certquake/reports/plots"
)

// Render writes report.json, report.md, junit.xml, report.html and plots/ into the run folder,
// which must exist. The same analysis and report give the same bytes.
func Render(dir string, a *Analysis, r *Report) error {
	pictures, err := a.pictures()
	if err != nil {
		return fmt.Errorf("render %q: %w", r.Scenario, err)
	}
	files, err := pages(a, r, pictures)
	if err != nil {
		return fmt.Errorf("render %q: %w", r.Scenario, err)
	}
	//nolint:gosec // a report is there to be read by others, and holds no secret
	if err := os.MkdirAll(filepath.Join(dir, PlotsDir), 0o755); err != nil {
		return fmt.Errorf("render %q: %w", r.Scenario, err)
	}
	for _, file := range files {
		//nolint:gosec // as above
		if err := os.WriteFile(filepath.Join(dir, file.name), file.data, 0o644); err != nil {
			return fmt.Errorf("render %q: %w", r.Scenario, err)
		}
	}
	return nil
}

// page is one file of a run folder.
type page struct {
	name string
	data []byte
}

// pages returns every file, in the order they are written: what others link to comes first.
func pages(a *Analysis, r *Report, pictures []picture) ([]page, error) {
	var files []page
	for _, p := range pictures {
		path := filepath.Join(PlotsDir, p.name)
		files = append(files, page{path + ".svg", p.drawn.SVG}, page{path + ".png", p.drawn.PNG})
	}
	for _, form := range []struct {
		name  string
		write func() ([]byte, error)
	}{
		{JSONFile, func() ([]byte, error) { return encode(r) }},
		{TextFile, func() ([]byte, error) { return markdown(r, pictures) }},
		{JUnitFile, func() ([]byte, error) { return junit(r) }},
		{HTMLFile, func() ([]byte, error) { return webpage(a, r, pictures) }},
	} {
		data, err := form.write()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", form.name, err)
		}
		files = append(files, page{form.name, data})
	}
	return files, nil
}

// encode writes report.json.
func encode(r *Report) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return buffer.Bytes(), nil
}

// picture is a drawn plot with the text that goes with it.
type picture struct {
	name    string
	title   string
	caption string
	drawn   plots.Picture
}

// drawing is a plot that can be drawn.
type drawing struct {
	name, title, caption string
	draw                 func() (plots.Picture, error)
}

// pictures draws every plot that has something to show.
func (a *Analysis) pictures() ([]picture, error) {
	var pictures []picture
	for _, d := range a.drawings() {
		drawn, err := d.draw()
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, picture{d.name, d.title, d.caption, drawn})
	}
	return pictures, nil
}

// drawings lists the plots of the run, in the order of the report.
func (a *Analysis) drawings() []drawing {
	window, zoomed := a.incident()
	all := a.outcomeDrawings(window, zoomed)
	if len(a.plan.Pods) > 0 {
		shown := a.run()
		if zoomed {
			shown = window
		}
		all = append(all, drawing{
			"lanes", "Who used what when", a.lanesCaption(),
			a.lanesPlot(shown).Draw,
		})
	}
	if _, broken := a.worst(); broken > 0 && (a.traffic.connects || a.traffic.calls) {
		all = append(all, drawing{
			"matrix", "Who could talk to whom", a.matrixCaption(),
			a.matrixPlot().Draw,
		})
	}
	if d := a.propagationPlot(); len(d.Measured)+len(d.Fetched) > 0 {
		all = append(all, drawing{
			"propagation", "How fast Secrets spread", a.propagationCaption(),
			d.Draw,
		})
	}
	return all
}

// outcomeDrawings is the outcomes over the whole run and, where its worst moment would be lost in
// that, around it.
func (a *Analysis) outcomeDrawings(window plots.Window, zoomed bool) []drawing {
	if len(a.plan.Streams) == 0 {
		return nil
	}
	attempts := a.traffic.attempt() + "s"
	title := strings.ToUpper(attempts[:1]) + attempts[1:]
	caption := fmt.Sprintf(outcomesCaption, attempts)
	whole := a.outcomesPlot(a.run(), title+" over the whole run, by outcome")
	if !zoomed {
		return []drawing{{"outcomes", "Outcomes over time", caption, whole.Draw}}
	}
	at, _ := a.worst()
	whole.Marks = append(whole.Marks, plots.Mark{At: at, Label: "worst moment"})
	near := a.outcomesPlot(window, title+" around the worst moment, by outcome")
	return []drawing{
		{"outcomes", "Outcomes over time", caption, whole.Draw},
		{"incident", "The incident", incidentCaption, near.Draw},
	}
}

func (a *Analysis) lanesCaption() string {
	if a.traffic.keys() {
		return lanesCaption + lanesOfKeys
	}
	return lanesCaption
}

func (a *Analysis) matrixCaption() string {
	return fmt.Sprintf(matrixCaption, a.traffic.either("dials", "calls", "dials or calls"))
}

// propagationCaption explains the lines that the picture has.
func (a *Analysis) propagationCaption() string {
	if why := a.unpredicted(); why != "" {
		return spreadCaption + " " + why
	}
	if a.anyJWKS() {
		return spreadCaption + " " + lawCaption + " " + fetchedCaption
	}
	return spreadCaption + " " + lawCaption
}

// The captions explain what a picture shows to someone who sees its kind for the first time.
const (
	outcomesCaption = "Each moment's %s per second, stacked by how they ended. " +
		"Failures are at the bottom, measured from zero; vertical lines are the plan's actions."
	incidentCaption = "The same, magnified around the moment at which the most pairs were broken."
	lanesCaption    = "One lane for each pod. The colour is what its process had in use, which " +
		"is not what was last written, nor what already lay in its volume. Pods of different " +
		"colours at one instant may reject each other."
	lanesOfKeys   = " Of keys, the star is at the one that signs."
	matrixCaption = "Each square is one ordered pair at the moment at which the most pairs were " +
		"broken: the pod of the row %s the pod of the column. Pale squares worked; coloured " +
		"ones failed for the reason given."
	spreadCaption = "The share of pods that used a new Secret within the given time."
	lawCaption    = "The dashed line is what kubelet sync and reload settings alone predict; a " +
		"measured line to the right of it is slower than the settings explain, as when a kubelet " +
		"is paused."
	fetchedCaption = "Nothing is predicted for keys that are fetched as a JWKS: a verifier " +
		"fetches them from pods that have them already, by rules of its own."
)
