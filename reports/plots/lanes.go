package plots

import (
	"image/color"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Lanes is which pod used what when: one lane for each pod, coloured by Keys.
type Lanes struct {
	Title   string
	Caption string
	Window  Window
	Keys    []string // the names of the colours
	Rows    []Lane
	Marks   []Mark
}

// Lane is one row.
type Lane struct {
	Name  string
	Spans []LaneSpan
}

// LaneSpan is a stretch of one colour. Bad stretches are drawn dark whatever their key.
type LaneSpan struct {
	From, To time.Duration
	Key      int
	Bad      bool
}

// Draw draws the lanes, the first on top.
func (l Lanes) Draw() (Picture, error) {
	p := newPlot()
	axis := l.Window.axis()
	axis.set(&p.X, l.Window)
	rows := float64(len(l.Rows))
	room := 3.2 // rows for the labels of marks
	p.Y.Min, p.Y.Max = -0.7, rows-0.5+room
	names := make([]plot.Tick, 0, len(l.Rows))
	for i, row := range l.Rows {
		names = append(names, plot.Tick{Value: rows - 1 - float64(i), Label: row.Name})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	p.Y.Tick.Length = 0
	p.Y.Tick.Label.Font = sans(8.5)
	p.Y.Width = 0
	p.Add(bars{l, axis}, marks{axis, l.Marks})
	f := frame{
		title: l.Title, caption: l.Caption, plot: p, width: full,
		height: 1.6*vg.Inch + vg.Length(rows+room)*11,
	}
	f.legend = l.legend()
	return f.draw()
}

// legend names the colours that are in use.
func (l Lanes) legend() []entry {
	used := make([]bool, len(l.Keys))
	bad := false
	for _, row := range l.Rows {
		for _, span := range row.Spans {
			used[span.Key] = true
			bad = bad || span.Bad
		}
	}
	var entries []entry
	for i, key := range l.Keys {
		if used[i] {
			entries = append(entries, entry{label: key, fill: seriesColor(i)})
		}
	}
	if bad {
		entries = append(entries, entry{label: "key and certificate do not match", fill: torn()})
	}
	return entries
}

func torn() color.Color { return rgb(0x332288) }

// bars draws the stretches of every lane.
type bars struct {
	lanes Lanes
	clock clock
}

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	half := 0.36 * (y(1) - y(0))
	for i, row := range b.lanes.Rows {
		middle := y(float64(len(b.lanes.Rows) - 1 - i))
		for _, span := range row.Spans {
			from, to := x(b.clock.at(span.From)), x(b.clock.at(span.To))
			from, to = max(from, c.Min.X), min(to, c.Max.X)
			if to <= from {
				continue
			}
			fill := seriesColor(span.Key)
			if span.Bad {
				fill = torn()
			}
			c.SetColor(fill)
			c.Fill(vg.Rectangle{
				Min: vg.Point{X: from, Y: middle - half}, Max: vg.Point{X: to, Y: middle + half},
			}.Path())
		}
	}
}
