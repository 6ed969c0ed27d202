package generator

import (
	"strings"
	"testing"
)

// rowOf is the row of an event that was stored as sent.
func rowOf(s *Source, number uint64) Row {
	e := s.Event(number)
	return Row{ID: e.ID, UserID: e.UserID, OccurredAt: e.OccurredAt, Type: e.Type}
}

// TestTheAuditFindsEveryDefect sends ten events of which every outcome occurs, and
// changes what is stored.
func TestTheAuditFindsEveryDefect(t *testing.T) {
	t.Parallel()
	outcomes := []Outcome{Accepted, Accepted, Accepted, Duplicate, Refused, Failed, Failed, Unknown, Unknown, Unsent}
	right := []uint64{0, 1, 2, 3, 5, 7} // a failed one and an unknown one are stored, which may be
	other := newTestSource(t, 2, 1)
	for _, c := range []struct {
		name    string
		stored  []uint64
		more    func(*Source) []Row
		counted int64
		want    Findings
		says    string
	}{
		{name: "all is right", stored: right, counted: 6},
		{name: "lost", stored: []uint64{0, 1, 3, 5, 7}, counted: 5, want: Findings{Lost: 1}, says: "1 accepted events are not stored"},
		{name: "a duplicate lost", stored: []uint64{0, 1, 2, 5, 7}, counted: 5, want: Findings{Lost: 1}, says: "not stored"},
		{name: "doubled", stored: append([]uint64{1}, right...), counted: 7, want: Findings{Doubled: 1}, says: "1 rows repeat an event"},
		{name: "doubled with another user", stored: right, counted: 7, more: func(s *Source) []Row {
			r := rowOf(s, 1)
			r.UserID++
			return []Row{r}
		}, want: Findings{Doubled: 1}, says: "repeat"},
		{name: "never sent", stored: right, counted: 7, more: func(*Source) []Row { return []Row{rowOf(other, 1)} }, want: Findings{NeverSent: 1}, says: "never sent"},
		{name: "not sent yet", stored: append([]uint64{10}, right...), counted: 7, want: Findings{NeverSent: 1}, says: "never sent"},
		{name: "not sent for want of a connection", stored: append([]uint64{9}, right...), counted: 7, want: Findings{NeverSent: 1}, says: "never sent"},
		{name: "refused and stored", stored: append([]uint64{4}, right...), counted: 7, want: Findings{RefusedStored: 1}, says: "answered with 4xx are stored"},
		{name: "altered", stored: right[1:], counted: 6, more: func(s *Source) []Row {
			r := rowOf(s, 0)
			r.Type = "another"
			return []Row{r}
		}, want: Findings{Altered: 1}, says: "another user, type or time"},
		{name: "counted wrongly", stored: right, counted: 5, says: "counts 5 events and there are 6 rows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source, ledger := newTestSource(t, 1, 1), &Ledger{}
			first := ledger.Take(len(outcomes))
			for i, o := range outcomes {
				ledger.Set(first+uint64(i), o)
			}
			audit := NewAudit(source, ledger)
			for _, number := range c.stored {
				audit.Row(rowOf(source, number))
			}
			if c.more != nil {
				for _, r := range c.more(source) {
					audit.Row(r)
				}
			}
			got := audit.Finish(c.counted)
			if got.Lost != c.want.Lost || got.Doubled != c.want.Doubled || got.NeverSent != c.want.NeverSent ||
				got.RefusedStored != c.want.RefusedStored || got.Altered != c.want.Altered {
				t.Errorf("%+v", got)
			}
			if got.Sent != 9 || got.Accepted != 4 || got.Duplicate != 1 || got.Refused != 1 || got.Failed != 2 || got.Unknown != 2 {
				t.Errorf("sent: %+v", got)
			}
			err := got.Err()
			switch {
			case c.says == "" && err != nil:
				t.Errorf("nothing is wrong, but: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v doesn't say %q", err, c.says)
			}
		})
	}
}

func TestALedgerHoldsMoreThanAPage(t *testing.T) {
	t.Parallel()
	ledger := &Ledger{}
	first := ledger.Take(pageEvents - 1)
	second := ledger.Take(3)
	if first != 0 || second != pageEvents-1 || ledger.Taken() != pageEvents+2 {
		t.Fatalf("%d, %d, %d", first, second, ledger.Taken())
	}
	ledger.Set(pageEvents, Accepted)
	for number, want := range map[uint64]Outcome{pageEvents - 1: Unknown, pageEvents: Accepted, pageEvents + 1: Unknown, pageEvents + 2: 0} {
		if got := *ledger.at(number); got != want {
			t.Errorf("%d: %d, not %d", number, got, want)
		}
	}
}
