package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// MigrateWith is Migrate of a program that has other migrations.
var MigrateWith = migrate

// Pool lets tests look at the sessions as the store set them up.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }
