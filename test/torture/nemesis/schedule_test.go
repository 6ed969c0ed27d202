package nemesis

import (
	"strings"
	"testing"
)

func TestSeedRepeatsItsSchedule(t *testing.T) {
	t.Parallel()
	faults := Faults(false, true)
	one, again, other := Describe(7, faults, 3, 300), Describe(7, faults, 3, 300), Describe(8, faults, 3, 300)
	if one != again {
		t.Error("the same seed gives another schedule")
	}
	if one == other {
		t.Error("another seed gives the same schedule")
	}
	if !strings.Contains(one, " and ") {
		t.Error("faults never meet")
	}
}

func TestRoundHasEveryFault(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		faults := Faults(embedded, true)
		schedule := NewSchedule(1, faults, 3)
		seen := map[string]bool{}
		for range faults {
			step := schedule.Next()
			if step.Also != "" {
				t.Errorf("faults meet in the first round: %s", step)
			}
			if step.Hold < 0 || step.Replica < 0 || step.Replica > 2 {
				t.Errorf("%+v", step)
			}
			seen[step.Fault] = true
		}
		if len(seen) != len(faults) {
			t.Errorf("%d of %d faults occurred", len(seen), len(faults))
		}
	}
}

func TestSampleHasEveryFamily(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		all := Faults(embedded, true)
		for seed := range uint64(50) {
			sample := Sample(seed, all)
			families := map[string]int{}
			for _, f := range sample {
				families[f.Family]++
			}
			for _, f := range all {
				if f.Family == "" || families[f.Family] != 1 {
					t.Errorf("seed %d: %s is of the family %q, of which there are %d", seed, f.Name, f.Family, families[f.Family])
				}
			}
			if len(families) != len(sample) {
				t.Errorf("seed %d: %d faults of %d families", seed, len(sample), len(families))
			}
		}
	}
}

func TestSelectByPrefix(t *testing.T) {
	t.Parallel()
	all := Faults(false, true)
	chosen, err := Select(all, "redis,replica-kill")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range chosen {
		if !strings.HasPrefix(f.Name, "redis") && !strings.HasPrefix(f.Name, "replica-kill") {
			t.Errorf("%s was selected", f.Name)
		}
	}
	if len(chosen) != 8 {
		t.Errorf("%d were selected", len(chosen))
	}
	if _, err := Select(all, "redis,nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a fault that isn't there: %v", err)
	}
	if none, err := Select(all, ""); err != nil || len(none) != len(all) {
		t.Errorf("without a selection: %d, %v", len(none), err)
	}
	for _, f := range Faults(false, false) {
		if f.kind == diskKind {
			t.Errorf("%s without small disks", f.Name)
		}
	}
}
