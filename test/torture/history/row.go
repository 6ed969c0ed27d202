package history

// Row is an event as it is stored.
type Row struct {
	UserID    int64  `json:"user_id"`
	Type      string `json:"type"`
	Timestamp int64  `json:"timestamp"` // Unix seconds
	ID        string `json:"id"`
	Payload   []byte `json:"-"` // JSON; nil: none
}
