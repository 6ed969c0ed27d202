package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// ExportEvents streams events, the oldest first.
func (o *questionOperations) ExportEvents(ctx context.Context, request api.ExportEventsRequestObject) (api.ExportEventsResponseObject, error) {
	p := request.Params
	filters, err := readFilters(p.Filters)
	if err != nil {
		return nil, err
	}
	return &export{
		ctx: ctx, questions: o.questions, csv: value(p.Format) == api.ExportFormatCsv, gzip: acceptsGzip(value(p.AcceptEncoding)),
		question: query.ListQuestion{
			Type: value(p.EventType), UserID: value(p.UserID), From: p.From, To: p.To,
			Filters: filters, Any: isAny(p.Match), Cursor: value(p.Cursor),
		},
	}, nil
}

// acceptsGzip reads an Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsGzip(field string) bool {
	for part := range strings.SplitSeq(field, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

// headExport answers HEAD: to know the headers nothing needs to be read.
func headExport(w http.ResponseWriter, _ *http.Request) {
	(&export{}).writeHeader(w)
}

// export is the answer of ExportEvents, which is made while it is sent.
type export struct {
	ctx       context.Context //nolint:containedctx // the generated interface has no other place for it
	questions Questions
	question  query.ListQuestion
	csv, gzip bool
}

const (
	// exportPage is how many bytes are made before they are sent: few pages have more,
	// and what they have more is read again.
	exportPage = 2 * query.PageBytes
	// exportStall is how long a client may take for exportChunk bytes.
	exportChunk = 1 << 20
	exportStall = time.Minute
)

func (e *export) writeHeader(w http.ResponseWriter) {
	mediaType, name := "application/x-ndjson", "events.ndjson"
	if e.csv {
		mediaType, name = "text/csv; charset=utf-8", "events.csv"
	}
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	header.Add("Vary", "Accept-Encoding")
	if e.gzip {
		header.Set("Content-Encoding", "gzip")
	}
	w.WriteHeader(http.StatusOK)
}

// VisitExportEventsResponse sends the events. Until the first of them are there, an error
// becomes a problem; after that the connection is cut, so that nobody takes what came for
// all there is.
func (e *export) VisitExportEventsResponse(w http.ResponseWriter) error {
	var chunk bytes.Buffer
	var out io.Writer = w
	var compressor *gzip.Writer
	if e.gzip {
		compressor, _ = gzip.NewWriterLevel(w, gzip.BestSpeed) // a level that there is
		out = compressor
	}
	lines := &eventWriter{to: &chunk, csv: e.csv}
	lines.begin()
	control := http.NewResponseController(w)
	began := false
	flush := func() error {
		if !began {
			e.writeHeader(w)
			began = true
		}
		for part := range slices.Chunk(chunk.Bytes(), exportChunk) {
			// A connection that knows no deadlines has none to be put off.
			_ = control.SetWriteDeadline(time.Now().Add(exportStall))
			if _, err := out.Write(part); err != nil {
				return err
			}
		}
		chunk.Reset()
		return nil
	}
	err := e.questions.ExportEvents(e.ctx, &e.question, func(ev *event.Event) bool {
		lines.write(ev)
		return chunk.Len() >= exportPage
	}, flush)
	if err == nil && compressor != nil {
		err = compressor.Close()
	}
	if err != nil && began {
		panic(http.ErrAbortHandler)
	}
	return err
}

// eventWriter writes events as lines.
type eventWriter struct {
	to   *bytes.Buffer
	csv  bool
	line []byte
}

// csvHeader names the columns.
var csvHeader = []string{"user_id", "event_type", "timestamp", "event_id", "payload"}

func (w *eventWriter) begin() {
	if w.csv {
		w.record(csvHeader)
	}
}

func (w *eventWriter) record(fields []string) {
	writer := csv.NewWriter(w.to)
	_ = writer.Write(fields) // to memory
	writer.Flush()
}

func (w *eventWriter) write(e *event.Event) {
	payload := e.Payload
	if bytes.ContainsAny(payload, "\r\n") {
		// White space between values: strings have theirs escaped.
		var compact bytes.Buffer
		if json.Compact(&compact, payload) == nil {
			payload = compact.Bytes()
		}
	}
	if w.csv {
		w.record([]string{strconv.FormatInt(e.UserID, 10), e.Type, strconv.FormatInt(e.OccurredAt, 10), e.ID.String(), string(payload)})
		return
	}
	line := append(w.line[:0], `{"user_id":`...)
	line = strconv.AppendInt(line, e.UserID, 10)
	line = append(line, `,"event_type":"`...)
	line = append(line, e.Type...) // its characters need no escapes
	line = append(line, `","timestamp":`...)
	line = strconv.AppendInt(line, e.OccurredAt, 10)
	line = append(line, `,"event_id":"`...)
	line = append(line, e.ID.String()...)
	line = append(line, '"')
	if payload != nil {
		line = append(line, `,"payload":`...)
		line = append(line, payload...)
	}
	line = append(line, '}', '\n')
	w.line = line
	w.to.Write(line)
}
