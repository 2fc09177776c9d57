package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOneLine(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"plain", "deb http://mirror.example/debian trixie main\n", "http://mirror.example/debian"},
		{
			"options, after others",
			"# deb http://no.example/ trixie main\ndeb-src http://no.example/ trixie main\n" +
				"deb http://no.example/security trixie-security main\n" +
				"deb [ arch=amd64 signed-by=/k ] https://mirror.example/debian trixie main\n",
			"https://mirror.example/debian",
		},
		{"no mirror", "deb cdrom:[Debian]/ trixie main\n", ""},
		{"broken", "deb\ndeb [arch\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, oneLine(row.text, "trixie"))
		})
	}
}

func TestStanzas(t *testing.T) {
	const text = `Types: deb
URIs: http://no.example/security
Suites: trixie-security

Types: deb
# URIs: http://no.example/
URIs: mirror+file:/etc/list https://mirror.example/debian
Suites: trixie trixie-updates
`
	assert.Equal(t, "https://mirror.example/debian", stanzas(text, "trixie"))
	assert.Empty(t, stanzas(text, "bookworm"))
}
