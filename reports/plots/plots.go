// Package plots draws the pictures of a report: outcomes over time, how fast a Secret reached its
// pods, which pod used what when, and who could talk to whom.
//
// Fill in an Outcomes, Propagation, Lanes or Matrix and call its Draw. The package knows nothing of
// records or verdicts, and the same values give the same bytes.
package plots

import (
	"bytes"
	"fmt"
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Picture is one drawing in the forms a report needs.
type Picture struct {
	SVG    []byte // a file of its own, on white
	Inline []byte // for a page: no background, its ink the page's text colour
	PNG    []byte
}

// The measures of every picture.
const (
	full    = 9.4 * vg.Inch // the width of a page
	margin  = 10 * vg.Length(1)
	pngDPI  = 144
	swatch  = 9 * vg.Length(1)
	lineGap = 15 * vg.Length(1)
)

// frame is what all pictures share: a heading, the plot, and a legend under it.
type frame struct {
	title   string
	caption string
	width   vg.Length
	height  vg.Length
	plot    *plot.Plot
	legend  []entry
}

// entry is one line of a legend.
type entry struct {
	label string
	fill  color.Color
	dash  bool // a line instead of a swatch
	line  bool
}

// newPlot returns an empty plot in the house typography.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font = sans(10)
		axis.Label.TextStyle.Color = muted()
		axis.Label.Padding = 4
		axis.Tick.Label.Font = sans(9)
		axis.Tick.Label.Color = ink()
		axis.Color, axis.Width = axisColor(), 0.6
		axis.Tick.Color, axis.Tick.Width = axisColor(), 0.6
		axis.Tick.Length = 4
		axis.Padding = 0
	}
	return p
}

// draw renders the frame in every form.
func (f frame) draw() (Picture, error) {
	vector := vgsvg.New(f.width, f.height)
	f.paint(draw.New(vector))
	var svg bytes.Buffer
	if _, err := vector.WriteTo(&svg); err != nil {
		return Picture{}, fmt.Errorf("draw %q: %w", f.title, err)
	}
	raster := vgimg.NewWith(vgimg.UseWH(f.width, f.height), vgimg.UseDPI(pngDPI))
	f.paint(draw.New(raster))
	var image bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: raster}).WriteTo(&image); err != nil {
		return Picture{}, fmt.Errorf("draw %q: %w", f.title, err)
	}
	file := portable(svg.String())
	return Picture{SVG: []byte(file), Inline: []byte(inline(file)), PNG: image.Bytes()}, nil
}

// paint draws heading, plot and legend on a canvas, from top to bottom.
func (f frame) paint(c draw.Canvas) {
	c.SetColor(paper())
	c.Fill(c.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	top := c.Max.Y
	heading := style(12, ink())
	heading.Font.Weight = bold
	c.FillText(heading, vg.Point{X: c.Min.X, Y: top - 11}, f.title)
	c.FillText(style(9, muted()), vg.Point{X: c.Min.X, Y: top - 25}, f.caption)
	rows := f.legendRows(c)
	legend := vg.Length(len(rows)) * lineGap
	f.plot.Draw(draw.Crop(c, 0, 0, legend+4, -36))
	for i, row := range rows {
		drawLegend(c, row, c.Min.Y+vg.Length(len(rows)-1-i)*lineGap)
	}
}

// legendRows breaks the legend into rows that fit the canvas.
func (f frame) legendRows(c draw.Canvas) [][]entry {
	var rows [][]entry
	var used vg.Length
	for _, e := range f.legend {
		w := e.width()
		if len(rows) == 0 || used+w > c.Max.X-c.Min.X {
			rows, used = append(rows, nil), 0
		}
		last := len(rows) - 1
		rows[last] = append(rows[last], e)
		used += w
	}
	return rows
}

func (e entry) width() vg.Length { return style(9, ink()).Width(e.label) + 2*swatch + 14 }

func drawLegend(c draw.Canvas, row []entry, y vg.Length) {
	x := c.Min.X
	for _, e := range row {
		mark := vg.Rectangle{
			Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + swatch, Y: y + swatch},
		}
		if e.line {
			mark.Max.X += swatch
			middle := y + swatch/2
			c.StrokeLine2(stroke(e.fill, 1.8, e.dash), x, middle, mark.Max.X, middle)
		} else {
			c.SetColor(e.fill)
			c.Fill(mark.Path())
		}
		c.FillText(style(9, ink()), vg.Point{X: mark.Max.X + 5, Y: y + 1}, e.label)
		x += e.width()
	}
}

// portable names fallbacks for the embedded font's family, for viewers that lack it.
func portable(svg string) string {
	return strings.ReplaceAll(svg, "font-family:Liberation Sans;",
		"font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")
}

// inline makes a drawing part of a page: without the XML head, scaled to its place, and following
// the page's colours.
func inline(svg string) string {
	if start := strings.Index(svg, "<svg"); start >= 0 {
		svg = svg[start:]
	}
	head, rest, _ := strings.Cut(svg, ">")
	head, wide := cutAttribute(head, " width=")
	head, _ = cutAttribute(head, " height=")
	replacer := strings.NewReplacer(
		hex(paper()), "none", hex(ink()), "currentColor", hex(muted()), "var(--muted)",
		hex(axisColor()), "var(--axis)", hex(gridColor()), "var(--grid)",
		hex(good()), "var(--good)")
	return head + ` role="img" style="max-width:` + wide + `">` + replacer.Replace(rest)
}

// cutAttribute removes the first attribute of the given start, as ` width=`, and returns its value.
func cutAttribute(tag, start string) (rest, value string) {
	before, after, found := strings.Cut(tag, start+`"`)
	if !found {
		return tag, ""
	}
	value, after, _ = strings.Cut(after, `"`)
	return before + after, value
}
