package plots

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Outcomes is what became of attempts over time: layers of rates, the first at the bottom.
type Outcomes struct {
	Title   string
	Caption string
	Window  Window
	Layers  []Layer
	Marks   []Mark
	// Attempts is what they are attempts at, in the plural. Empty is new connections.
	Attempts string `json:",omitempty"`
}

// Layer is one outcome's attempts per second, in bins of equal width over the window.
type Layer struct {
	Outcome string
	Rates   []float64
}

// Draw draws the layers as stacked areas.
func (o Outcomes) Draw() (Picture, error) {
	p := newPlot()
	axis := o.Window.axis()
	axis.set(&p.X, o.Window)
	p.Y.Min, p.Y.Max = 0, 1.3*math.Max(o.peak(), 1e-9) // room for the labels of marks
	p.Y.Label.Text = cmp.Or(o.Attempts, "new connections") + " per second"
	p.Y.Tick.Marker = below{limit: 1.02 * o.peak()}
	p.Add(grid{}, stack{o, axis}, marks{axis, o.Marks})
	f := frame{
		title: o.Title, caption: o.Caption, width: full, height: 3.5 * vg.Inch, plot: p,
	}
	for _, layer := range o.Layers {
		f.legend = append(f.legend, entry{label: layer.Outcome, fill: outcomeColor(layer.Outcome)})
	}
	return f.draw()
}

// peak returns the highest total rate.
func (o Outcomes) peak() float64 {
	highest := 0.0
	for bin := range o.bins() {
		total := 0.0
		for _, layer := range o.Layers {
			total += layer.Rates[bin]
		}
		highest = math.Max(highest, total)
	}
	return highest
}

func (o Outcomes) bins() int {
	if len(o.Layers) == 0 {
		return 0
	}
	return len(o.Layers[0].Rates)
}

// below places round ticks up to a limit, leaving the room above it empty.
type below struct{ limit float64 }

// Ticks implements plot.Ticker.
func (b below) Ticks(low, high float64) []plot.Tick {
	high = math.Min(high, math.Max(b.limit, 1e-9))
	step := roundStep((high - low) / 5)
	var ticks []plot.Tick
	for k := 0.0; k*step <= high; k++ {
		ticks = append(ticks, plot.Tick{Value: k * step, Label: figure(k * step)})
	}
	return ticks
}

// stack draws layers as steps, each on top of the ones before.
type stack struct {
	outcomes Outcomes
	clock    clock
}

// Plot implements plot.Plotter.
func (s stack) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	bins := s.outcomes.bins()
	edges := make([]vg.Length, bins+1)
	for i := range edges {
		share := float64(i) / float64(max(bins, 1))
		edges[i] = x(p.X.Min + share*(p.X.Max-p.X.Min))
	}
	floor := make([]float64, bins)
	for _, layer := range s.outcomes.Layers {
		s.area(c, layer, edges, floor, y)
	}
}

// area fills one layer between floor and floor+rates, and raises the floor. Stretches without any
// attempt of the layer are left out.
func (s stack) area(
	c draw.Canvas, layer Layer, edges []vg.Length, floor []float64, y func(float64) vg.Length,
) {
	c.SetColor(outcomeColor(layer.Outcome))
	for begin := 0; begin < len(floor); {
		if layer.Rates[begin] <= 0 {
			begin++
			continue
		}
		end := begin
		for end < len(floor) && layer.Rates[end] > 0 {
			end++
		}
		c.Fill(steps(layer.Rates[begin:end], floor[begin:end], edges[begin:end+1], y))
		begin = end
	}
	for i, rate := range layer.Rates {
		floor[i] += rate
	}
}

// steps is the outline of an area, along its floor and back over its top.
func steps(rates, floor []float64, edges []vg.Length, y func(float64) vg.Length) vg.Path {
	var path vg.Path
	path.Move(vg.Point{X: edges[0], Y: y(floor[0])})
	line := func(i int, height float64) {
		path.Line(vg.Point{X: edges[i], Y: y(height)})
	}
	for i := range rates {
		if i == 0 || floor[i] != floor[i-1] {
			line(i, floor[i])
		}
		if i+1 == len(rates) || floor[i] != floor[i+1] {
			line(i+1, floor[i])
		}
	}
	for i, rate := range slices.Backward(rates) {
		line(i+1, floor[i]+rate)
		line(i, floor[i]+rate)
	}
	path.Close()
	return path
}
