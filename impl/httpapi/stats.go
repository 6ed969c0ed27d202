package httpapi

import (
	"context"
	"time"

	"highload.example/analytics/gen/api"
)

// statsOperations are the operations of the tag stats.
type statsOperations struct {
	counter Counter
	timeout time.Duration
}

// GetEventTypeStats counts the events of a type.
func (o *statsOperations) GetEventTypeStats(ctx context.Context, request api.GetEventTypeStatsRequestObject) (api.GetEventTypeStatsResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	count, err := o.counter.Count(ctx, request.EventType)
	if err != nil {
		return nil, err
	}
	return api.GetEventTypeStats200Response{Body: api.EventTypeStats{EventType: request.EventType, Count: count}}, nil
}
