package scenarios

import (
	"embed"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// sources are the files whose doc comments document the language, in the schema and the CLI.
//
//go:embed scenario.go fault_*.go
var sources embed.FS

// comments returns the doc comments of the language's types by "Type" and of their fields by
// "Type.Field". They are part of the binary, so that the documentation is written once.
func comments() map[string]string {
	found := map[string]string{}
	entries, err := sources.ReadDir(".")
	if err != nil {
		panic(err) // the embedded root can be listed
	}
	for _, entry := range entries {
		data, err := sources.ReadFile(entry.Name())
		if err != nil {
			panic(err) // what was listed can be read
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), data, parser.ParseComments)
		if err != nil {
			panic(err) // it was compiled
		}
		for _, declaration := range file.Decls {
			commentsOf(declaration, found)
		}
	}
	return found
}

// commentsOf adds the comments of a type declaration.
func commentsOf(declaration ast.Decl, found map[string]string) {
	types, ok := declaration.(*ast.GenDecl)
	if !ok || types.Tok != token.TYPE {
		return
	}
	for _, spec := range types.Specs {
		named, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		found[named.Name.Name] = strings.TrimSpace(types.Doc.Text())
		structure, ok := named.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, field := range structure.Fields.List {
			for _, name := range field.Names {
				found[named.Name.Name+"."+name.Name] = strings.TrimSpace(field.Doc.Text())
			}
		}
	}
}
