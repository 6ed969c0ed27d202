package binding_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

// What is drawn here is JSON text, not values: names given twice, spellings of a
// number and escapes are what a decoder trips over. All of it follows from the
// schema, so that a field added to the contract is covered as it is.

// largest bounds what is drawn for the sake of a bound, in characters, names or items.
const largest = 1 << 11

// chance is true once in n draws or so.
func chance(t *rapid.T, n int) bool {
	return rapid.IntRange(0, n-1).Draw(t, "chance") == n-1
}

func pick[E any](t *rapid.T, from ...E) E {
	return rapid.SampledFrom(from).Draw(t, "pick")
}

// bodies generates bodies near the schema's bounds.
func bodies(schema *openapi3.Schema) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return drawBody(t, schema) })
}

// drawBody draws a body near the schema's bounds, mostly JSON.
func drawBody(t *rapid.T, schema *openapi3.Schema) string {
	body := drawJSON(t, schema)
	if !chance(t, 12) {
		return body
	}
	at := rapid.IntRange(0, len(body)).Draw(t, "at")
	switch pick(t, "space", "trail", "cut", "insert", "remove", "invalid") {
	case "space":
		body = " \t\r\n" + body + "\n"
	case "trail":
		body += pick(t, "x", " {}", ",", "}", "\x00", body)
	case "cut":
		body = body[:at]
	case "insert":
		body = body[:at] + pick(t, `"`, `,`, `{`, `}`, `[`, `]`, `:`, `\`, `0`, `-`, "\x00", "\n", "é", "\ufeff", `\ud800`, `null`) + body[at:]
	case "remove":
		body = body[:at] + body[min(at+1, len(body)):]
	case "invalid":
		body = body[:at] + pick(t, "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80") + body[at:]
	}
	return body
}

// drawJSON draws a value of the schema or something like it.
func drawJSON(t *rapid.T, schema *openapi3.Schema) string {
	if chance(t, 40) {
		return drawAny(t, 2)
	}
	switch {
	case schema.Type == nil:
		return drawAny(t, 2)
	case schema.Type.Is("string"):
		return encode(t, drawText(t, schema))
	case schema.Type.Is("integer"):
		return spell(t, drawInteger(t, schema))
	case schema.Type.Is("boolean"):
		return pick(t, "true", "false")
	case schema.Type.Is("array"):
		n := drawSize(t, schema.MinItems, schema.MaxItems)
		items := make([]string, n)
		for i := range items {
			if i > 8 { // enough variety; from here on it is the number that matters
				items[i] = items[i%8]
				continue
			}
			items[i] = drawJSON(t, schema.Items.Value)
		}
		return "[" + strings.Join(items, ",") + "]"
	case schema.Type.Is("object") && schema.Properties == nil:
		return drawFree(t, schema)
	case schema.Type.Is("object"):
		return drawObject(t, schema)
	}
	panic(fmt.Sprintf("the generator doesn't know the type %v", schema.Type))
}

// drawObject draws an object with the schema's properties, or most of them.
func drawObject(t *rapid.T, schema *openapi3.Schema) string {
	var members []string
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names) // what is drawn must not depend on the map's order
	for _, name := range rapid.Permutation(names).Draw(t, "names") {
		required := slices.Contains(schema.Required, name)
		if required && chance(t, 48) || !required && chance(t, 3) {
			continue
		}
		key, property := quoteJSON(name), schema.Properties[name].Value
		if chance(t, 48) {
			key = pick(t, quoteJSON(strings.ToUpper(name)), quoteJSON(name+" "), quoteJSON(name[:1]+strings.ToUpper(name[1:])), quoteJSON(strings.ReplaceAll(name, "s", "ſ")), escaped(name))
		}
		members = append(members, key+":"+drawJSON(t, property))
		if chance(t, 48) {
			members = append(members, pick(t, key, escaped(name))+":"+drawJSON(t, property))
		}
	}
	if chance(t, 24) {
		members = append(members, encode(t, drawName(t))+":"+drawAny(t, 3))
	}
	return "{" + strings.Join(members, pick(t, ",", " ,\n")) + "}"
}

// drawFree draws an object of any content with about as many names as allowed.
func drawFree(t *rapid.T, schema *openapi3.Schema) string {
	n := drawSize(t, schema.MinProps, schema.MaxProps)
	members := make([]string, n)
	for i := range members {
		if i < 4 {
			members[i] = encode(t, drawName(t)) + ":" + drawAny(t, 3)
		} else {
			members[i] = fmt.Sprintf(`"%d":%d`, i, i)
		}
	}
	if n > 0 && chance(t, 8) {
		members = append(members, members[rapid.IntRange(0, n-1).Draw(t, "again")])
	}
	return "{" + strings.Join(members, ",") + "}"
}

// drawSize draws a number of items or names: few, or near a bound.
func drawSize(t *rapid.T, low uint64, high *uint64) int {
	sizes := []int{0, 1, 2, 3, int(low), int(low) - 1, int(low) + 1}
	if high != nil && *high < largest {
		sizes = append(sizes, int(*high)-1, int(*high), int(*high)+1)
	}
	return max(0, pick(t, sizes...))
}

// drawName draws the name of a member that the schema doesn't know.
func drawName(t *rapid.T) string {
	if chance(t, 8) {
		return strings.Repeat(pick(t, "a", "é", "😀"), pick(t, 15, 16, 17, 31, 32, 33, 63, 64, 65))
	}
	return pick(t, "a", "b", "", "0", "a/b", "~", "a~1", "é", "😀", "\x00", "\ufffd", "__proto__", "c d")
}

// drawAny draws any JSON value of at most the depth.
func drawAny(t *rapid.T, depth int) string {
	kinds := []string{"null", "bool", "number", "text", "array", "object"}
	if depth == 0 {
		kinds = kinds[:4]
	}
	switch pick(t, kinds...) {
	case "bool":
		return pick(t, "true", "false")
	case "number":
		return spell(t, big.NewInt(rapid.Int64().Draw(t, "number")))
	case "text":
		return encode(t, drawName(t))
	case "array":
		items := make([]string, rapid.IntRange(0, 3).Draw(t, "items"))
		for i := range items {
			items[i] = drawAny(t, depth-1)
		}
		return "[" + strings.Join(items, ",") + "]"
	case "object":
		members := make([]string, rapid.IntRange(0, 3).Draw(t, "members"))
		for i := range members {
			members[i] = encode(t, drawName(t)) + ":" + drawAny(t, depth-1)
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	return "null"
}

// drawText draws text that is what a string schema demands, or nearly.
func drawText(t *rapid.T, schema *openapi3.Schema) string {
	var text string
	switch {
	case len(schema.Enum) > 0:
		text, _ = pick(t, schema.Enum...).(string)
		if chance(t, 3) {
			text = pick(t, strings.ToUpper(text), text+" ", text[:len(text)/2], "")
		}
		return text
	case schema.Format == "uuid":
		return drawUUID(t)
	case schema.Pattern != "":
		text = rapid.StringMatching(schema.Pattern).Draw(t, "text")
	default:
		text = rapid.StringN(0, 20, -1).Draw(t, "text")
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	if chance(t, 2) {
		lengths := []int{int(schema.MinLength) - 1, int(schema.MinLength), int(schema.MinLength) + 1}
		if schema.MaxLength != nil && *schema.MaxLength < largest {
			high := int(*schema.MaxLength)
			lengths = append(lengths, high-1, high, high, high+1)
		}
		text = resize(text, max(0, pick(t, lengths...)))
	}
	if chance(t, 8) {
		runes := []rune(text)
		at := rapid.IntRange(0, len(runes)).Draw(t, "at")
		text = string(runes[:at]) + pick(t, " ", "\n", "\x00", "é", "😀", "\u2028", "\"", "\\", "/", "\ufffd", "\u212a", "-", "%") + string(runes[at:])
	}
	return text
}

// resize repeats or cuts text to n characters.
func resize(text string, n int) string {
	runes := []rune(text)
	if len(runes) == 0 {
		runes = []rune("a")
	}
	for len(runes) < n {
		runes = append(runes, runes[len(runes)-1])
	}
	return string(runes[:n])
}

// drawUUID draws a UUID of any version, or something like it.
func drawUUID(t *rapid.T) string {
	id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).Draw(t, "uuid")
	if !chance(t, 3) {
		return id
	}
	at := rapid.IntRange(0, len(id)-1).Draw(t, "at")
	other := id[:at] + pick(t, "-", "0", "g", "A", "_", " ") + id[at+1:]
	return pick(t,
		other, other, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		strings.ToUpper(id), "{"+id+"}", "urn:uuid:"+id, strings.ReplaceAll(id, "-", ""), strings.ReplaceAll(id, "-", "_"),
		id[:35], id+"0", " "+id[1:], "g"+id[1:], id[1:9]+id[:1]+id[9:], strings.Replace(id, "-", "é", 1), "",
	)
}

// drawInteger draws a number near the bounds of an integer schema, of its format,
// and of what float64 can hold.
func drawInteger(t *rapid.T, schema *openapi3.Schema) *big.Int {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if schema.Format == "int32" {
		low, high = math.MinInt32, math.MaxInt32
	}
	near := []*big.Int{big.NewInt(low), big.NewInt(high), big.NewInt(0), big.NewInt(1 << 53)}
	for _, bound := range []*float64{schema.Min, schema.Max} {
		if bound != nil {
			n, _ := big.NewFloat(*bound).Int(nil)
			near = append(near, n, n)
		}
	}
	if schema.Min != nil {
		low = int64(*schema.Min)
	}
	if schema.Max != nil {
		high = int64(*schema.Max)
	}
	if chance(t, 3) {
		off := pick(t, 0, 1, -1, 2, -2, 512, 1024, 1025)
		return new(big.Int).Add(pick(t, near...), big.NewInt(int64(off)))
	}
	return big.NewInt(rapid.Int64Range(low, high).Draw(t, "integer"))
}

// spell writes a number in one of the ways of JSON, or nearly.
func spell(t *rapid.T, n *big.Int) string {
	text := n.String()
	if !chance(t, 20) {
		return text
	}
	return pick(t, text+".0", text+"e0", text+"E+00", text+"0e-1", text+".5", text+"e1", text+"e400", text+"e-400", quoteJSON(text), text+strings.Repeat("0", 20), "-0", "-0.0", "0"+text, "+"+text, text+".", "1e3", "0.99999999999999999999")
}

// encode writes text as JSON, with escapes here and there, and seldom with
// something in it that isn't text.
func encode(t *rapid.T, text string) string {
	switch {
	case chance(t, 12):
		return escaped(text)
	case chance(t, 24):
		quoted := quoteJSON(text)
		return quoted[:len(quoted)-1] + pick(t, `\ud800`, `\udbff`, `\udc00`, `\udfff`, `\ud7ff`, `\ue000`, `\ud83d\ude00`, `\ud83d\ud83d`, `\ud800x`, `\\ud800`, `\/`, `\u0000`, `\u000`, `\x`, "\xff", "\x01") + `"`
	}
	return quoteJSON(text)
}

// quoteJSON writes text as JSON.
func quoteJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

// escaped writes text as JSON with nothing but escapes.
func escaped(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return `"` + b.String() + `"`
}
