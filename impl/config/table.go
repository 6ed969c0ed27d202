package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Markdown returns the settings as the table that the README shows.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| variable | flag | default | meaning |\n| --- | --- | --- | --- |\n")
	for field := range reflect.TypeFor[Settings]().Fields() {
		def := field.Tag.Get("default")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | %s | %s |\n", field.Tag.Get("env"), field.Tag.Get("name"), def, field.Tag.Get("help"))
	}
	return b.String()
}
