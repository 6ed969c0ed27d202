package httpapi

import (
	"context"

	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/observe"
)

// healthOperations are the operations of the tag operations, but for metrics,
// which Prometheus's own handler writes.
type healthOperations struct {
	health Health
	ingest Ingest
}

// GetLiveness says that the process answers.
func (o *healthOperations) GetLiveness(context.Context, api.GetLivenessRequestObject) (api.GetLivenessResponseObject, error) {
	return api.GetLiveness200Response{Body: api.Health{Status: api.HealthStatusOk}}, nil
}

// GetReadiness says whether events can be stored.
func (o *healthOperations) GetReadiness(context.Context, api.GetReadinessRequestObject) (api.GetReadinessResponseObject, error) {
	report := o.health.Report()
	body := api.Health{Status: api.HealthStatusOk}
	var checks api.HealthChecks
	for name, up := range report.Up {
		status := api.HealthStatusOk
		if !up {
			status = api.HealthStatusUnavailable
		}
		switch name {
		case "database":
			checks.Database = &status
		case "redis":
			checks.Redis = &status
		}
	}
	body.Checks = &checks
	switch {
	case report.Phase == observe.Starting:
		body.Status = api.HealthStatusStarting
	case report.Phase == observe.Stopping:
		body.Status = api.HealthStatusStopping
	case !report.Ready || !o.ingest.Available():
		body.Status = api.HealthStatusUnavailable
	default:
		return api.GetReadiness200Response{Body: body}, nil
	}
	return api.GetReadiness503Response{Body: body, RetryAfter: retrySeconds}, nil
}
