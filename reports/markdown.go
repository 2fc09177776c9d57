package reports

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"
)

//go:embed report.md.tmpl
var markdownTemplate string

// markdown writes report.md, short enough for the summary of a CI job.
func markdown(r *Report, pictures []picture) ([]byte, error) {
	page, err := template.New("report.md").Funcs(template.FuncMap{
		"cell": cell, "number": Number, "moment": spell, "sign": sign,
		"percent": percent,
	}).Parse(markdownTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	var buffer bytes.Buffer
	if err := page.Execute(&buffer, newView(r, pictures)); err != nil {
		return nil, fmt.Errorf("execute template: %w", err)
	}
	return buffer.Bytes(), nil
}

// cell keeps a text within its cell of a Markdown table, and its markup from being read as such.
func cell(text string) string {
	return strings.NewReplacer(
		"\n", " ", "|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "`", "\\`",
	).Replace(text)
}

// sign is a status as a sign that is read without colours.
func sign(status Status) string {
	switch status {
	case Pass:
		return "✓"
	case Fail:
		return "✗"
	case Inconclusive:
		return "?"
	}
	return ""
}

// spell writes seconds for people.
func spell(s Seconds) string {
	return Moment(s.duration().Round(time.Microsecond))
}
