package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Pool lets tests look at the sessions as the store set them up.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }
