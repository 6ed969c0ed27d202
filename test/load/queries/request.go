package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// client keeps a connection to each server, as an SDK would.
var client = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true},
	Timeout:   30 * time.Minute, // an export of everything
}

// request is a query as it is sent.
type request struct {
	method, path string
	body         []byte
}

// send sends a request; the caller closes the body. A status other than 200 is an error.
func (d *deployment) send(ctx context.Context, r request) (*http.Response, error) {
	sent, err := http.NewRequestWithContext(ctx, r.method, d.product.URL+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("requesting %s: %w", r.path, err)
	}
	if r.body != nil {
		sent.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(sent)
	if err != nil {
		return nil, fmt.Errorf("requesting: %w", err)
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
	plan string // how the result was found
}

func (d *deployment) query(ctx context.Context, r request) (reply, error) {
	response, err := d.send(ctx, r)
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
