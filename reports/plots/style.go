package plots

import (
	"encoding/binary"
	"fmt"
	"image/color"

	"golang.org/x/image/font"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const bold = font.WeightBold

// The colours of everything that carries no data. None is pure black: the vector canvas leaves that
// one unwritten, and then a page cannot exchange it.
func ink() color.Color       { return rgb(0x1c2128) }
func muted() color.Color     { return rgb(0x57606a) }
func paper() color.Color     { return rgb(0xfffffe) }
func axisColor() color.Color { return rgb(0x8c959f) }
func gridColor() color.Color { return rgb(0xd8dee5) }
func good() color.Color      { return rgb(0xbfdbef) }

// outcomeColor returns the colour of an outcome. The hues are those of Okabe and Ito and of Paul
// Tol, told apart by people who do not see all colours; successes are pale so that failures stand
// out.
func outcomeColor(outcome string) color.Color {
	switch outcome {
	case "ok":
		return good()
	case "unknown-authority":
		return rgb(0xd55e00)
	case "expired":
		return rgb(0xcc79a7)
	case "not-yet-valid":
		return rgb(0xe69f00)
	case "name-mismatch":
		return rgb(0xb8a000)
	case "wrong-usage":
		return rgb(0x8c510a)
	case "certificate-required":
		return rgb(0x882255)
	case "bad-signature":
		return rgb(0x332288)
	case "no-credential":
		return rgb(0xaa4499)
	case "no-shared-parameters":
		return rgb(0x117733)
	case "bad-certificate":
		return rgb(0x661100)
	case "unknown-kid":
		return rgb(0xcc3311)
	case "no-keys":
		return rgb(0x004488)
	case "no-primary":
		return rgb(0x997700)
	case "token-expired":
		return rgb(0xee99aa)
	case "token-not-yet-valid":
		return rgb(0xeecc66)
	case "token-refused":
		return rgb(0x007788)
	case "timeout":
		return rgb(0x44aa99)
	case "unreachable":
		return rgb(0x6e7781)
	}
	return rgb(0xafb8c1) // skipped, canceled, other
}

// seriesColor returns the colour of the i-th of many equal things, going round after eight.
func seriesColor(i int) color.Color {
	palette := [...]uint32{
		0x56b4e9, 0xe69f00, 0x009e73, 0xcc79a7, 0x0072b2, 0xd55e00, 0xb8a000, 0x88ccee,
	}
	return rgb(palette[i%len(palette)])
}

func rgb(code uint32) color.Color {
	var parts [4]byte
	binary.BigEndian.PutUint32(parts[:], code)
	return color.NRGBA{parts[1], parts[2], parts[3], 0xff}
}

// faded returns the colour with the given opacity from 0 to 1.
func faded(c color.Color, opacity float64) color.Color {
	solid := color.NRGBAModel.Convert(c).(color.NRGBA)
	solid.A = uint8(opacity * 255)
	return solid
}

// hex writes a colour as the vector canvas does.
func hex(c color.Color) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8)
}

func sans(size vg.Length) plotfont.Font {
	return plotfont.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// style returns a text style in the house font.
func style(size vg.Length, c color.Color) text.Style {
	return text.Style{
		Color: c, Font: sans(size), Handler: text.Plain{Fonts: plotfont.DefaultCache},
	}
}

// stroke returns a line style.
func stroke(c color.Color, width vg.Length, dashed bool) draw.LineStyle {
	line := draw.LineStyle{Color: c, Width: width}
	if dashed {
		line.Dashes = []vg.Length{4, 3}
	}
	return line
}
