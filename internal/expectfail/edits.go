package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edit is one change to one file. It is an error if there is nothing to change.
type edit struct {
	file  string // relative to the root of the tree
	what  string // the whole change in words: it is part of a case's digest
	apply func(content []byte) ([]byte, error)
}

// create makes a file that must not exist yet.
func create(file, content string) edit {
	return edit{file, "create " + content, func(old []byte) ([]byte, error) {
		if old != nil {
			return nil, errors.New("the file exists")
		}
		return []byte(content), nil
	}}
}

// add puts text at the end of a file.
func add(file, text string) edit {
	return edit{file, "add " + text, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, errors.New("there is no such file")
		}
		return append(bytes.Clone(old), text...), nil
	}}
}

// replace changes old, which must occur exactly once, to text.
func replace(file, old, text string) edit {
	return edit{file, fmt.Sprintf("replace %q by %q", old, text), func(content []byte) ([]byte, error) {
		if n := bytes.Count(content, []byte(old)); n != 1 {
			return nil, fmt.Errorf("%q occurs %d times, want once", old, n)
		}
		return bytes.Replace(content, []byte(old), []byte(text), 1), nil
	}}
}

// The edits of YAML name a place by keys and indexes, joined by dots. They survive any
// change of the document's wording and layout.

// remove takes a member out of a mapping.
func remove(file, place string) edit {
	return edit{file, "remove " + place, func(content []byte) ([]byte, error) {
		return editYAML(content, place, func(parent *yaml.Node, key string) error {
			at := index(parent, key)
			if parent.Kind != yaml.MappingNode || at < 0 {
				return errors.New("there is no such member")
			}
			parent.Content = slices.Delete(parent.Content, at-1, at+1)
			return nil
		})
	}}
}

// set gives a member of a mapping, or an item of a sequence, a value in YAML. A member
// may be new; an item is appended where its index is "+".
func set(file, place, value string) edit {
	return edit{file, "set " + place + " to " + value, func(content []byte) ([]byte, error) {
		return editYAML(content, place, func(parent *yaml.Node, key string) error {
			var document yaml.Node
			if err := yaml.Unmarshal([]byte(value), &document); err != nil {
				return err
			}
			node := document.Content[0]
			switch at := index(parent, key); {
			case at >= 0:
				parent.Content[at] = node
			case parent.Kind == yaml.MappingNode:
				parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, node)
			case parent.Kind == yaml.SequenceNode && key == "+":
				parent.Content = append(parent.Content, node)
			default:
				return errors.New("there is no such item")
			}
			return nil
		})
	}}
}

// editYAML changes the node that contains a place.
func editYAML(content []byte, place string, change func(parent *yaml.Node, key string) error) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, errors.New("the document is empty")
	}
	node := document.Content[0]
	keys := strings.Split(place, ".")
	last := len(keys) - 1
	for _, key := range keys[:last] {
		at := index(node, key)
		if at < 0 {
			return nil, fmt.Errorf("%s: there is no %q", place, key)
		}
		node = node.Content[at]
	}
	if err := change(node, keys[last]); err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	var changed bytes.Buffer
	encoder := yaml.NewEncoder(&changed)
	encoder.SetIndent(2) // as in the contract, so that positions in it stay much the same
	if err := encoder.Encode(&document); err != nil {
		return nil, err
	}
	return changed.Bytes(), encoder.Close()
}

// index returns where in a node's content the value of a key, or the item of an index,
// is; -1 if it isn't.
func index(node *yaml.Node, key string) int {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return i + 1
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(node.Content) {
			return i
		}
	default:
	}
	return -1
}
