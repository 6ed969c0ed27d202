package httpapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	checked "highload.example/analytics/impl/testkit/contract"
)

// TestABatchSaysWhatToSendAgain: only events that a retry can help carry the status
// retry, and nothing else is asked for again.
func TestABatchSaysWhatToSendAgain(t *testing.T) {
	t.Parallel()
	url := serveFaulty(t)
	client := checked.Client(t)
	of := func(types ...string) string {
		events := make([]string, len(types))
		for i, eventType := range types {
			events[i] = `{"user_id":1,"event_type":"` + eventType + `","timestamp":1690000000,"event_id":"01890a5d-ac96-774b-bcce-b302099a8057"}`
		}
		return "[" + strings.Join(events, ",") + "]"
	}
	const id = `"event_id":"01890a5d-ac96-774b-bcce-b302099a8057"`
	for name, test := range map[string]struct {
		body       string
		status     int
		retryAfter string
		want       string // a part of the answer
	}{
		"some": {
			of("fine", "unavailable", "-", "unstorable"), http.StatusAccepted, "1",
			`{"received":1,"duplicate":0,"rejected":2,"retry":1,"results":[{"index":1,` + id + `,"status":"retry"},` +
				`{"index":2,` + id + `,"status":"rejected","errors":[{"pointer":"/event_type","code":"pattern",`,
		},
		"none stored, some to be sent again": {of("unavailable", "unstorable"), http.StatusServiceUnavailable, "1", `"code":"unavailable"`},
		"too busy for all":                   {of("busy", "busy"), http.StatusServiceUnavailable, "1", `"code":"overloaded"`},
		"none will ever be":                  {of("unstorable", "-"), http.StatusUnprocessableEntity, "", `"pointer":"/0","code":"not_storable"`},
		"all fine":                           {of("fine"), http.StatusAccepted, "", `"retry":0,"results":[]}`},
	} {
		response, err := client.Post(url+"/events", "application/json", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != test.status || response.Header.Get("Retry-After") != test.retryAfter || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: %d, Retry-After %q, %s", name, response.StatusCode, response.Header.Get("Retry-After"), text)
		}
	}
}
