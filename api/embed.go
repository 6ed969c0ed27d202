// Package api carries the contract, openapi.yaml, in the binary. Everything
// else about the API is generated from it: see server.yaml, client.yaml and
// templates, and run `make generate` after a change.
package api

import _ "embed"

// YAML is the contract, byte for byte as it is in the repository.
//
//go:embed openapi.yaml
var YAML []byte
