package plots

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Matrix is who could talk to whom at one moment: a row for each dialling pod or group of pods, a
// column for each dialled one.
type Matrix struct {
	Title   string
	Caption string
	Names   []string // of the rows
	Cells   [][]Cell // by row, then column
	// Columns are the names of the columns. Nil is Names.
	Columns []string `json:",omitempty"`
	// Verbs say what the pod of a row does, and what is done to that of a column. Nil is dialling.
	Verbs *[2]string `json:",omitempty"`
}

// Cell is one ordered pair, or the pairs between two groups of pods.
type Cell struct {
	Tried  bool    // false where nobody dials, as on the diagonal
	Share  float64 // of the pairs that are broken
	Reason string  // the outcome most of them are broken by
}

// Draw draws the matrix.
func (m Matrix) Draw() (Picture, error) {
	p := newPlot()
	n, wide := float64(len(m.Names)), float64(len(m.columns()))
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, wide-0.5, -0.5, n-0.5
	p.X.Label.Text, p.Y.Label.Text = "is dialled", "dials"
	if m.Verbs != nil {
		p.X.Label.Text, p.Y.Label.Text = m.Verbs[1], m.Verbs[0]
	}
	columns, rows := make([]plot.Tick, 0, len(m.columns())), make([]plot.Tick, 0, len(m.Names))
	for i, name := range m.columns() {
		columns = append(columns, plot.Tick{Value: float64(i), Label: name})
	}
	for i, name := range m.Names {
		rows = append(rows, plot.Tick{Value: n - 1 - float64(i), Label: name})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(columns), plot.ConstantTicks(rows)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Tick.Length, axis.Width = 0, 0
		axis.Tick.Label.Font = sans(8.5)
	}
	p.X.Tick.Label.Rotation = quarter
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	p.Add(cells{m})
	p.X.Padding = 7
	names := m.longest() + 40 // labels, axis titles and margins beside the cells
	f := frame{title: m.Title, caption: m.Caption, plot: p, legend: m.legend()}
	f.width = min(max(vg.Length(wide)*cellMax+names, widthMin), full)
	f.height = min(vg.Length(n)*cellMax, (f.width-names)*vg.Length(n/wide)) + names + 70
	return f.draw()
}

// columns returns the names of the columns.
func (m Matrix) columns() []string {
	if m.Columns != nil {
		return m.Columns
	}
	return m.Names
}

const (
	quarter  = math.Pi / 2
	cellMax  = 26 * vg.Length(1)
	widthMin = 480 * vg.Length(1) // what the heading needs
)

// longest returns the width of the longest name.
func (m Matrix) longest() vg.Length {
	letters := style(8.5, ink())
	var longest vg.Length
	for _, name := range slices.Concat(m.columns(), m.Names) {
		longest = max(longest, letters.Width(name))
	}
	return longest
}

// legend names ok and the reasons that occur, in order of name.
func (m Matrix) legend() []entry {
	reasons := []string{}
	for _, row := range m.Cells {
		for _, cell := range row {
			if cell.Share > 0 {
				reasons = append(reasons, cell.Reason)
			}
		}
	}
	slices.Sort(reasons)
	entries := []entry{{label: "ok", fill: good()}}
	for _, reason := range slices.Compact(reasons) {
		entries = append(entries, entry{label: reason, fill: outcomeColor(reason)})
	}
	return entries
}

// cells draws one square for each pair.
type cells struct{ matrix Matrix }

// Plot implements plot.Plotter.
func (s cells) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	n := len(s.matrix.Names)
	side := x(1) - x(0)
	tall := y(1) - y(0)
	for i, row := range s.matrix.Cells {
		for j, cell := range row {
			if !cell.Tried {
				continue
			}
			left, bottom := x(float64(j)-0.5), y(float64(n-1-i)-0.5)
			square := vg.Rectangle{
				Min: vg.Point{X: left + 1, Y: bottom + 1},
				Max: vg.Point{X: left + side - 1, Y: bottom + tall - 1},
			}
			c.SetColor(good())
			c.Fill(square.Path())
			if cell.Share > 0 {
				c.SetColor(faded(outcomeColor(cell.Reason), 0.25+0.75*cell.Share))
				c.Fill(square.Path())
			}
		}
	}
}
