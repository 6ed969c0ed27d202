//go:build failpoint

package failpoint

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAPlaceFiresOnceWhenArmed(t *testing.T) {
	do := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest(method, target, http.NoBody))
		return w
	}
	panics := func(place string) (value any) {
		defer func() { value = recover() }()
		Hit(place)
		return nil
	}
	if v := panics(AfterCommit); v != nil {
		t.Fatalf("unarmed, it panics: %v", v)
	}
	if w := do(http.MethodPut, "/failpoint/after-commit?action=panic"); w.Code != http.StatusOK || !Armed(AfterCommit) {
		t.Fatalf("arming it: %d %s", w.Code, w.Body)
	}
	if v := panics(BeforeInsert); v != nil {
		t.Errorf("another place panics: %v", v)
	}
	if v := panics(AfterCommit); v != "failpoint: after-commit" {
		t.Errorf("armed, it panics with %v", v)
	}
	if v := panics(AfterCommit); v != nil {
		t.Errorf("it panics twice: %v", v)
	}
	do(http.MethodPut, "/failpoint/after-commit?action=panic")
	do(http.MethodDelete, "/failpoint/after-commit")
	if v := panics(AfterCommit); v != nil {
		t.Errorf("disarmed, it panics: %v", v)
	}
	if w := do(http.MethodGet, "/failpoint/"); strings.TrimSpace(w.Body.String()) != `{"after-commit":1}` {
		t.Errorf("it says that it fired %s", w.Body)
	}
	for _, wrong := range []string{"/failpoint/nowhere?action=panic", "/failpoint/after-commit?action=dance"} {
		if w := do(http.MethodPut, wrong); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, w.Code)
		}
	}
}
