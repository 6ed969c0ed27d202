# `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOLS := CGO_ENABLED=0 go tool -modfile=tools/go.mod

.PHONY: generate
generate: ## Generate code from api/openapi.yaml and sql/
	$(TOOLS) oapi-codegen -config api/server.yaml api/openapi.yaml
	$(TOOLS) oapi-codegen -config api/client.yaml api/openapi.yaml
	$(TOOLS) sqlc generate
