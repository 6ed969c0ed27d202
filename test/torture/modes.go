package main

import (
	"context"
	"io"
	"maps"
	"slices"
)

// runners are the modes.
var runners = map[string]func(ctx context.Context, o *options, output io.Writer) error{
	modeFleet:    fire,
	modeEmbedded: fire,
	modeOverload: overloaded,
	modeClients:  misbehave,
	modeSoak:     fire,
}

func modes() []string { return slices.Sorted(maps.Keys(runners)) }
