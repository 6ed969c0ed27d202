package fake

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"highload.example/analytics/test/torture/history"
)

// Handler serves what the workload uses of the contract.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /event", s.sendEvent)
	mux.HandleFunc("POST /events", s.sendEvents)
	mux.HandleFunc("GET /stats", s.listStats)
	mux.HandleFunc("GET /stats/{event_type}", s.getStats)
	mux.HandleFunc("GET /stats/{event_type}/series", s.getSeries)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		failed := s.chance(50)
		s.mu.Unlock()
		if failed {
			s.fail(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// fail answers in one of the ways in which a server fails that lost its database,
// or its life.
func (s *Server) fail(w http.ResponseWriter) {
	s.mu.Lock()
	silent := s.rng.IntN(2) == 0
	s.mu.Unlock()
	if silent {
		panic(http.ErrAbortHandler)
	}
	if s.fault == Answers500 {
		http.Error(w, "oops", http.StatusInternalServerError)
		return
	}
	problem(w, http.StatusServiceUnavailable, "unavailable", "The service is unavailable")
}

func problem(w http.ResponseWriter, status int, code, title string) {
	w.Header().Set("Content-Type", "application/problem+json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"/problems/%s","title":%q,"status":%d,"code":%q}`, code, title, status, code)
}

func reject(w http.ResponseWriter) {
	problem(w, http.StatusUnprocessableEntity, "validation_failed", "Validation failed")
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // nothing here can't be marshalled
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

func readBody(r *http.Request) ([]byte, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	return io.ReadAll(body)
}

// sent is an event as it came.
type sent struct {
	history.Row
	valid bool
}

var (
	typePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)
	idPattern   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// oldest is the earliest timestamp.
const oldest = 946684800

func decode(text []byte, id string) sent {
	var e struct {
		UserID    int64           `json:"user_id"`
		EventType string          `json:"event_type"`
		Timestamp int64           `json:"timestamp"`
		EventID   string          `json:"event_id"`
		Payload   json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return sent{}
	}
	if e.EventID == "" {
		e.EventID = id
	}
	row := history.Row{UserID: e.UserID, Type: e.EventType, Timestamp: e.Timestamp, ID: e.EventID}
	if e.Payload != nil {
		row.Payload = compact(e.Payload)
	}
	return sent{
		Row: row,
		valid: e.UserID > 0 && typePattern.MatchString(e.EventType) && e.Timestamp >= oldest && e.Timestamp < time.Now().Unix()+3600 &&
			idPattern.MatchString(e.EventID) && (e.Payload == nil || checkPayload(e.Payload) == nil),
	}
}

// checkPayload says what keeps a payload from being stored.
func checkPayload(payload []byte) error {
	if payload[0] != '{' || len(payload) > 64<<10 {
		return errors.New("no object, or too long")
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(payload)) // refuses half of a surrogate pair
	for {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch token.Kind() {
		case '"':
			if strings.ContainsRune(token.String(), 0) {
				return errors.New("NUL")
			}
		case '0':
			if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
				return err
			}
		default:
		}
		switch depth := decoder.StackDepth(); depth {
		case 1:
			_, length := decoder.StackIndex(depth)
			if length > 2*256 { // names and values
				return errors.New("too many names")
			}
		case 33:
			return errors.New("too deep")
		}
	}
	return nil
}

func (s *Server) sendEvent(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		problem(w, http.StatusBadRequest, "invalid_encoding", "The body is not what its Content-Encoding says")
		return
	}
	e := decode(body, r.Header.Get("Idempotency-Key"))
	s.mu.Lock()
	var outcome history.Outcome
	lost := s.chance(25)
	switch {
	case !e.valid:
		outcome = s.refuse(e)
	case s.chance(50):
		s.withoutDatabase(e)
		outcome = history.Retry
	default:
		outcome = s.store(e.Row)
	}
	s.mu.Unlock()
	switch {
	case lost: // the answer, not the event
		s.fail(w)
	case outcome == history.Rejected:
		reject(w)
	case outcome == history.Retry:
		problem(w, http.StatusServiceUnavailable, "unavailable", "The service is unavailable")
	default:
		w.Header().Set("Event-Id", e.ID)
		if s.fault == NamesAnotherEvent {
			w.Header().Set("Event-Id", "01890a5d-ac96-774b-bcce-b302099a8057")
		}
		if s.fault != OmitsHeader {
			w.Header().Set("Event-Status", string(outcome))
		}
		answerJSON(w, http.StatusAccepted, map[string]string{"status": "received"})
	}
}

// refuse is what happens to an invalid event.
func (s *Server) refuse(e sent) history.Outcome {
	switch s.fault {
	case StoresRejected:
		if !s.keys[keyOf(e.Row)] {
			s.keys[keyOf(e.Row)] = true
			s.commit(e.Row)
		}
	case CountsRejected:
		s.count(e.Type)
	case AcceptsInvalid:
		return history.Accepted
	default:
	}
	return history.Rejected
}

// withoutDatabase is what happens to an event that can't be stored now.
func (s *Server) withoutDatabase(e sent) {
	if s.fault == CountsTooEarly {
		s.count(e.Type)
	}
}

// frame splits a batch's body into events.
func frame(mediaType string, body []byte) ([]json.RawMessage, error) {
	if mediaType == "application/x-ndjson" {
		var events []json.RawMessage
		for line := range bytes.Lines(body) {
			events = append(events, line)
		}
		return events, nil
	}
	var envelope struct {
		Events []json.RawMessage `json:"events"`
	}
	if bytes.HasPrefix(body, []byte("{")) {
		err := json.Unmarshal(body, &envelope)
		return envelope.Events, err
	}
	err := json.Unmarshal(body, &envelope.Events)
	return envelope.Events, err
}

// result is a line of a batch's receipt.
type result struct {
	Index   int              `json:"index"`
	EventID string           `json:"event_id,omitempty"`
	Status  string           `json:"status"`
	Errors  []map[string]any `json:"errors,omitempty"`
}

func (s *Server) sendEvents(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		problem(w, http.StatusBadRequest, "invalid_encoding", "The body is not what its Content-Encoding says")
		return
	}
	texts, err := frame(r.Header.Get("Content-Type"), body)
	if err != nil {
		problem(w, http.StatusBadRequest, "invalid_json", "The body is not JSON")
		return
	}
	events := make([]sent, len(texts))
	for i, text := range texts {
		events[i] = decode(text, "")
	}
	s.mu.Lock()
	lost := s.chance(25)
	var outcomes []history.Outcome
	if r.URL.Query().Get("atomic") == "true" {
		outcomes, lost = s.storeAll(events, lost)
	} else {
		outcomes = s.storeEach(events)
	}
	s.mu.Unlock()
	counted := map[history.Outcome]int{}
	for _, outcome := range outcomes {
		counted[outcome]++
	}
	switch {
	case lost:
		s.fail(w)
	case counted[history.Rejected] == len(events):
		reject(w)
	case counted[history.Retry] == len(events):
		problem(w, http.StatusServiceUnavailable, "unavailable", "The service is unavailable")
	default:
		s.answerBatch(w, events, outcomes, r.URL.Query().Get("verbose") == "true")
	}
}

// storeEach stores each event for itself, or asks to send it again.
func (s *Server) storeEach(events []sent) []history.Outcome {
	outcomes := make([]history.Outcome, len(events))
	away := s.chance(20) // the database, for a part of the batch
	for i, e := range events {
		switch {
		case !e.valid:
			outcomes[i] = s.refuse(e)
		case away && s.chance(3):
			s.withoutDatabase(e)
			outcomes[i] = history.Retry
		default:
			outcomes[i] = s.store(e.Row)
		}
	}
	return outcomes
}

// storeAll stores all events or none.
func (s *Server) storeAll(events []sent, lost bool) (outcomes []history.Outcome, lostNow bool) {
	s.batches++
	all := func(outcome history.Outcome) []history.Outcome {
		return slices.Repeat([]history.Outcome{outcome}, len(events))
	}
	if slices.ContainsFunc(events, func(e sent) bool { return !e.valid }) {
		for _, e := range events {
			s.refuse(e)
		}
		if s.fault == AcceptsInvalid {
			return all(history.Accepted), lost
		}
		return all(history.Rejected), lost
	}
	torn := s.batches%2 == 0 && !s.healed
	if !torn && s.chance(20) {
		for _, e := range events {
			s.withoutDatabase(e)
		}
		return all(history.Retry), lost
	}
	for i, e := range events {
		switch {
		case torn && s.fault == TearsBatches && i >= len(events)/2:
			return outcomes, true
		case torn && s.fault == HidesTorn && i >= len(events)/2:
			outcomes = append(outcomes, history.Retry)
		default:
			outcomes = append(outcomes, s.store(e.Row))
		}
	}
	return outcomes, lost
}

func (s *Server) answerBatch(w http.ResponseWriter, events []sent, outcomes []history.Outcome, verbose bool) {
	receipt := struct {
		Received  int      `json:"received"`
		Duplicate int      `json:"duplicate"`
		Rejected  int      `json:"rejected"`
		Retry     int      `json:"retry"`
		Results   []result `json:"results"`
	}{Results: []result{}}
	for i, outcome := range outcomes {
		line := result{Index: i, EventID: events[i].ID, Status: string(outcome)}
		switch outcome {
		case history.Accepted:
			receipt.Received++
			line.Status = "received"
			if !verbose {
				continue
			}
		case history.Duplicate:
			receipt.Duplicate++
			if s.fault == MiscountsReceipts {
				receipt.Received++
			}
		case history.Rejected:
			receipt.Rejected++
			line.EventID = "" // it may be none
			line.Errors = []map[string]any{{"pointer": "", "code": "type", "detail": "is invalid"}}
		default:
			receipt.Retry++
			w.Header().Set("Retry-After", "1")
		}
		receipt.Results = append(receipt.Results, line)
	}
	answerJSON(w, http.StatusAccepted, receipt)
}

func (s *Server) listStats(w http.ResponseWriter, _ *http.Request) {
	type line struct {
		EventType string `json:"event_type"`
		Count     int64  `json:"count"`
	}
	lines := []line{}
	s.mu.Lock()
	for name, n := range s.derived() {
		if s.fault != HidesAType || name != "0" {
			lines = append(lines, line{name, n})
		}
	}
	s.mu.Unlock()
	w.Header().Set("Query-Plan", "totals")
	answerJSON(w, http.StatusOK, map[string]any{"event_types": lines})
}

// asked is a range of time that a question is about.
func asked(r *http.Request) (from, to int64) {
	from, _ = strconv.ParseInt(r.URL.Query().Get("from"), 10, 64) // absent: 0
	to, _ = strconv.ParseInt(r.URL.Query().Get("to"), 10, 64)
	return from, to
}

func (s *Server) getStats(w http.ResponseWriter, r *http.Request) {
	if s.fault == AnswersNoQuestions {
		problem(w, http.StatusServiceUnavailable, "unavailable", "The service is unavailable")
		return
	}
	question := history.Operation{Kind: history.Count, EventType: r.PathValue("event_type")}
	question.From, question.To = asked(r)
	s.mu.Lock()
	var n int64
	if question.From == 0 && question.To == 0 {
		n = s.total(question.EventType)
	} else {
		n = s.between(question.EventType, question.Bounds())[0]
	}
	s.mu.Unlock()
	w.Header().Set("Query-Plan", "totals")
	answerJSON(w, http.StatusOK, map[string]any{"event_type": question.EventType, "count": n})
}

func (s *Server) getSeries(w http.ResponseWriter, r *http.Request) {
	question := history.Operation{Kind: history.Series, EventType: r.PathValue("event_type"), Interval: r.URL.Query().Get("interval")}
	question.From, question.To = asked(r)
	bounds := question.Bounds()
	s.mu.Lock()
	counts := s.between(question.EventType, bounds)
	s.mu.Unlock()
	type point struct {
		Start   int64     `json:"start"`
		Time    time.Time `json:"time"`
		Count   int64     `json:"count"`
		Partial bool      `json:"partial"`
	}
	var points []point
	var sum int64
	for i, n := range counts {
		points = append(points, point{Start: bounds[i], Time: time.Unix(bounds[i], 0).UTC(), Count: n})
		sum += n
	}
	w.Header().Set("Query-Plan", "counts")
	answerJSON(w, http.StatusOK, map[string]any{
		"event_type": question.EventType, "interval": question.Interval, "tz": "UTC", "from": question.From, "to": question.To, "count": sum, "points": points,
	})
}
