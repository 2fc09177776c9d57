package plots

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Propagation compares how long writes took to their pods with what the settings alone predict.
type Propagation struct {
	Title    string
	Caption  string
	Measured []Point // the empirical distribution, ascending
	Law      []Point // the predicted one, ascending; may be empty
	Bound    float64 // seconds, 0 for none
	Count    string  // of the sample, for the legend
	// Fetched is a second sample that the law is not about: keys that were fetched, not mounted.
	Fetched      []Point `json:",omitempty"`
	FetchedCount string  `json:",omitempty"`
}

// Point is the share of propagations that took at most the given seconds.
type Point struct {
	Seconds float64
	Share   float64
}

// Draw draws both distributions as lines.
func (d Propagation) Draw() (Picture, error) {
	p := newPlot()
	p.X.Min, p.X.Max = 0, d.longest()
	p.X.Label.Text = "time from a Secret's write to its use (s)"
	p.X.Tick.Marker = ticker{}
	p.Y.Min, p.Y.Max = 0, 1.02
	p.Y.Label.Text = "share of propagations (%)"
	p.Y.Tick.Marker = percent{}
	p.Add(grid{})
	f := frame{
		title: d.Title, caption: d.Caption, width: full, height: 3.5 * vg.Inch, plot: p,
	}
	measured, law := rgb(0x0072b2), rgb(0xd55e00)
	if d.Bound > 0 {
		p.Add(vertical{d.Bound, "bound " + figure(d.Bound) + " s"})
	}
	if len(d.Measured) > 0 {
		p.Add(line(d.Measured, measured, false))
		f.legend = append(f.legend, entry{label: d.Count, fill: measured, line: true})
	}
	if fetched := rgb(0x009e73); len(d.Fetched) > 0 {
		p.Add(line(d.Fetched, fetched, false))
		f.legend = append(f.legend, entry{label: d.FetchedCount, fill: fetched, line: true})
	}
	if len(d.Law) > 0 {
		p.Add(line(d.Law, law, true))
		f.legend = append(f.legend,
			entry{label: "predicted by the settings", fill: law, line: true, dash: true})
	}
	return f.draw()
}

func (d Propagation) longest() float64 {
	longest := math.Max(d.Bound, 1)
	for _, points := range [][]Point{d.Measured, d.Fetched, d.Law} {
		if n := len(points); n > 0 {
			longest = math.Max(longest, points[n-1].Seconds)
		}
	}
	return 1.04 * longest
}

func line(points []Point, c color.Color, dashed bool) *plotter.Line {
	xys := make(plotter.XYs, len(points))
	for i, point := range points {
		xys[i].X, xys[i].Y = point.Seconds, point.Share
	}
	return &plotter.Line{XYs: xys, LineStyle: stroke(c, 1.8, dashed)}
}

// percent places a tick every fifth of a share.
type percent struct{}

// Ticks implements plot.Ticker.
func (percent) Ticks(_, _ float64) []plot.Tick {
	var ticks []plot.Tick
	for i := range 6 {
		ticks = append(ticks, plot.Tick{Value: float64(i) / 5, Label: figure(float64(20 * i))})
	}
	return ticks
}

// vertical draws a labelled vertical line.
type vertical struct {
	at    float64
	label string
}

// Plot implements plot.Plotter.
func (v vertical) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	at := x(v.at)
	c.StrokeLine2(stroke(muted(), 0.8, true), at, c.Min.Y, at, c.Max.Y)
	letters := style(8.5, ink())
	c.FillText(letters, vg.Point{X: at - 4 - letters.Width(v.label), Y: c.Min.Y + 6}, v.label)
}
