package sealed

// Exported for tests.
const (
	BatchBytes  = batchBytes
	AuditStride = auditStride
)

// Hurry leaves out waiting for the disk and for other writers, in tests that are about neither.
func (s *Store) Hurry() { s.db.NoSync, s.db.MaxBatchDelay = true, 0 }

// Damage changes tables behind the store's back.
func (s *Store) Damage(table string, key, value []byte) error {
	return s.update(func(t tables) error {
		bucket := map[string]interface {
			Put(key, value []byte) error
			Delete(key []byte) error
		}{recordsTable: t.records, indexTable: t.index, usesTable: t.uses}[table]
		if value == nil {
			return bucket.Delete(key)
		}
		return bucket.Put(key, value)
	})
}
