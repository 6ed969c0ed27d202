package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// asker keeps a connection to each server, as an SDK would.
var asker = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true},
	Timeout:   30 * time.Minute, // an export of everything
}

// request is a question as it is asked.
type request struct {
	method, path string
	body         []byte
}

// do sends a request; the caller closes the body. An answer other than 200 is an error.
func (d *deployment) do(ctx context.Context, r request) (*http.Response, error) {
	to, err := http.NewRequestWithContext(ctx, r.method, "http://"+d.address+r.path, bytes.NewReader(r.body)) //nolint:gosec // to a server that we started
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", r.path, err)
	}
	if r.body != nil {
		to.Header.Set("Content-Type", "application/json")
	}
	response, err := asker.Do(to) //nolint:gosec // see above
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", r.path, err)
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // the status is the error
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s %s %s: %s: %s", r.method, r.path, r.body, response.Status, text)
	}
	return response, nil
}

// reply is what came back.
type reply struct {
	body []byte
	plan string // how the answer was found
}

func (d *deployment) ask(ctx context.Context, r request) (reply, error) {
	response, err := d.do(ctx, r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, fmt.Errorf("reading %s: %w", r.path, err)
	}
	return reply{body: body, plan: response.Header.Get("Query-Plan")}, nil
}
