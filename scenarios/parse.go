package scenarios

import (
	"fmt"
	"io/fs"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Parse reads the scenario file name, whose content is data. Manifest files are read from files,
// the folder the scenario is in, which may be nil; set overrides its parameters.
//
// Parse is strict: the error it returns is Problems, with every problem of the scenario and its
// manifests at once, each with file, line and path.
func Parse(
	name string, data []byte, files fs.FS, set map[string]string,
) (*Scenario, error) {
	c := newCollector(name)
	root := c.onlyDocument(name, data)
	if root == nil || !c.identity(name, root) {
		return nil, c.err()
	}
	d := c.decoder(name, map[string]string{})
	d.params = d.parameters(root, set)
	s := &Scenario{}
	c.mark(name, "", root.Line)
	d.value(root, reflect.ValueOf(s).Elem(), "", rules{})
	if d.left < 0 {
		return nil, c.err()
	}
	if len(d.params) > 0 {
		s.Spec.Params = d.params
	}
	complete := d.world(s, files)
	check(&checker{collector: c, s: s, complete: complete})
	if err := c.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// onlyDocument returns the one document of a scenario file, or nil after a problem.
func (c *collector) onlyDocument(name string, data []byte) *yaml.Node {
	documents := c.documents(name, data)
	if len(c.problems) > 0 {
		return nil
	}
	if len(documents) == 0 {
		c.addAt(0, name, "", "is empty", "start from a scenario that `certquake list` shows")
		return nil
	}
	if len(documents) > 1 {
		c.addAt(documents[1].Line, name, "", "holds a second document",
			"write one scenario per file; Kubernetes objects go under spec.manifests")
		return nil
	}
	return documents[0]
}

// identity reports whether the document says that it is a scenario, or does not say what it is.
func (c *collector) identity(name string, root *yaml.Node) bool {
	if resolve(root).Kind != yaml.MappingNode {
		c.addAt(root.Line, name, "", "is "+describe(resolve(root))+", not a scenario",
			"start from a scenario that `certquake list` shows")
		return false
	}
	identity := []struct{ key, want string }{{"apiVersion", APIVersion}, {"kind", Kind}}
	for _, id := range identity {
		got := child(root, id.key)
		if got == nil || got.Kind == yaml.ScalarNode && got.Value == id.want {
			continue
		}
		hint := didYouMean(got.Value, []string{id.want})
		if id.key == "kind" || hint == "" {
			hint = "a scenario has apiVersion: " + APIVersion + " and kind: " + Kind
		}
		c.addAt(got.Line, name, id.key, fmt.Sprintf("is %s, not %s", describe(got), id.want), hint)
		return false
	}
	return true
}
