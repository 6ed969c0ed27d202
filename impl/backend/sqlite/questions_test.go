package sqlite

import (
	"testing"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// A page begins where the one before ended, and not with a walk to there: an export of
// ten million events took twelve seconds so, and didn't end within ten minutes otherwise.
func TestPagesBeginWhereTheLastEnded(t *testing.T) {
	t.Parallel()
	after := &event.Key{OccurredAt: 500, UserID: 1}
	slice := query.Slice{From: 1, To: 1000}
	if from := list(&query.Listing{Slice: slice, After: after, Oldest: true, Limit: 1}).args[0]; from != int64(500) {
		t.Errorf("forward it begins at %v", from)
	}
	if to := list(&query.Listing{Slice: slice, After: after, Limit: 1}).args[1]; to != int64(501) {
		t.Errorf("backward it begins at %v", to)
	}
}
