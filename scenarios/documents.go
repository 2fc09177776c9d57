package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// inputMax bounds a scenario file and each manifest file, in bytes.
const inputMax = 1 << 20

// InputMax is the size in bytes of the largest scenario file that Parse takes: readers need not
// read more than one byte beyond it.
const InputMax = inputMax

// documents parses a file into its YAML documents that hold something. Problems are gathered, and
// then nothing is returned.
func (c *collector) documents(file string, data []byte) []*yaml.Node {
	if len(data) > inputMax {
		c.addAt(0, file, "", fmt.Sprintf("is larger than %d KiB", inputMax>>10), "")
		return nil
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		c.addAt(0, file, "", "is not UTF-8 text", "give a YAML file")
		return nil
	}
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return documents
		}
		if err != nil {
			line, what := syntaxError(err)
			c.addAt(line, file, "", "is not YAML: "+what, "")
			return nil
		}
		if len(node.Content) == 1 && !isNull(resolve(node.Content[0])) {
			documents = append(documents, node.Content[0])
		}
	}
}

// syntaxError takes the line out of a YAML error's text, where the library keeps it.
func syntaxError(err error) (line int, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	match := regexp.MustCompile(`^line ([0-9]+): (.*)$`).FindStringSubmatch(what)
	if match == nil {
		return 0, what
	}
	line, err = strconv.Atoi(match[1])
	if err != nil {
		return 0, what
	}
	if fromParser(match[2]) {
		line++
	}
	return line, match[2]
}

// fromParser reports whether the text is of the library's parser, which counts lines from 0, and
// not of its scanner, which counts from 1.
func fromParser(text string) bool {
	expected, ok := strings.CutPrefix(text, "did not find expected ")
	return ok && slices.Contains([]string{
		"node content", "key", "'-' indicator", "',' or ']'", "',' or '}'", "<document start>",
	}, expected)
}
