package reports

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

//go:embed report.html.tmpl
var webpageTemplate string

// webpage writes report.html: one file that asks nothing of any server.
func webpage(a *Analysis, r *Report, pictures []picture) ([]byte, error) {
	page, err := template.New("report.html").Funcs(template.FuncMap{
		"number": Number, "moment": spell, "duration": Moment, "sign": sign, "percent": percent,
	}).Parse(webpageTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	shown := newView(r, pictures)
	shown.settings(a)
	var buffer bytes.Buffer
	if err := page.Execute(&buffer, shown); err != nil {
		return nil, fmt.Errorf("execute template: %w", err)
	}
	return buffer.Bytes(), nil
}
