// Command number-properties prints an OpenAPI document with an x-order on every
// property of every schema, counted in the order of the document. oapi-codegen
// orders the fields of Go types, and so the members of their JSON, by x-order; by
// the alphabet where there is none. `make generate` gives oapi-codegen what this
// prints.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run prints the numbered document and returns the exit code: 1 when the document
// can't be numbered, 2 when it isn't named.
func run(files []string, stdout, stderr io.Writer) int {
	if len(files) != 1 {
		fmt.Fprintln(stderr, "usage: number-properties FILE")
		return 2
	}
	document, err := os.ReadFile(files[0]) //nolint:gosec // the file that the developer names is what is asked for
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	numbered, err := number(document)
	if err == nil {
		_, err = stdout.Write(numbered)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", files[0], err)
		return 1
	}
	return 0
}

// number returns the document with its properties numbered.
func number(document []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, err
	}
	if err := visit(&root); err != nil {
		return nil, err
	}
	return yaml.Marshal(&root)
}

// visit numbers the properties of all schemas at and below a node.
func visit(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		for _, child := range node.Content {
			if err := visit(child); err != nil {
				return err
			}
		}
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i].Value, node.Content[i+1]
		var err error
		switch {
		case key == "properties":
			err = visitProperties(value)
		case key == "example" || key == "examples" || strings.HasPrefix(key, "x-"): // data, in which nothing is a schema
		default:
			err = visit(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func visitProperties(properties *yaml.Node) error {
	if properties.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: the properties aren't a mapping from names to schemas", properties.Line)
	}
	for i := 1; i < len(properties.Content); i += 2 {
		property := properties.Content[i]
		if property.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: the property's schema isn't a mapping", property.Line)
		}
		for k := 0; k < len(property.Content); k += 2 {
			if property.Content[k].Value == "x-order" {
				return fmt.Errorf("line %d: leave out x-order: properties are numbered as they stand in the document", property.Content[k].Line)
			}
		}
		if err := visit(property); err != nil {
			return err
		}
		property.Content = append(property.Content,
			&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "x-order"},
			&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa((i + 1) / 2)})
	}
	return nil
}
