package plots

import (
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Mark is an instant worth pointing at: a fault.
type Mark struct {
	At    time.Duration
	Label string
}

// marksMax is the most marks that are drawn as lines over the whole plot; more become short ticks.
const marksMax = 30

// marks draws a vertical line for each mark and its label beside the line's top, in as many of
// three rows as are needed to keep the labels apart. A label that fits in none of them is left
// out: the report lists all faults.
type marks struct {
	clock clock
	all   []Mark
}

// Plot implements plot.Plotter.
func (m marks) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	var ends [3]vg.Length
	for i := range ends {
		ends[i] = c.Min.X
	}
	few := len(m.all) <= marksMax
	last := c.Min.X - 1
	for _, mark := range m.all {
		at := x(m.clock.at(mark.At))
		if at < c.Min.X || at > c.Max.X || !few && at-last < 1 {
			continue
		}
		last = at
		bottom := c.Min.Y
		if !few {
			bottom = c.Max.Y - 6
		}
		c.StrokeLine2(stroke(muted(), 0.8, few), at, bottom, at, c.Max.Y)
		if few {
			label(c, mark.Label, at, &ends)
		}
	}
}

// label writes a mark's label in the first row where it fits, left of the line near the right edge.
func label(c draw.Canvas, name string, at vg.Length, ends *[3]vg.Length) {
	letters := style(8.5, ink())
	wide := letters.Width(name)
	from := at + 3
	if from+wide > c.Max.X {
		from = at - 3 - wide
	}
	for row := range ends {
		if from >= ends[row] {
			y := c.Max.Y - 9 - vg.Length(row)*10
			c.FillText(letters, vg.Point{X: from, Y: y}, name)
			ends[row] = from + wide + 4
			return
		}
	}
}

// grid draws horizontal lines at the labelled ticks of the y axis.
type grid struct{}

// Plot implements plot.Plotter.
func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if tick.Label != "" {
			at := y(tick.Value)
			c.StrokeLine2(stroke(gridColor(), 0.6, false), c.Min.X, at, c.Max.X, at)
		}
	}
}
