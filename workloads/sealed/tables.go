package sealed

import (
	"bytes"
	"encoding/binary"
	"strings"

	"go.etcd.io/bbolt"
)

// The tables of a store. They change together, in one transaction.
//
//	records  <record>           -> the sealed text
//	index    <keyid>:<record>   -> nothing
//	uses     <keyid>            -> records and seals, 8 bytes each, big endian; 1 if retired, or 0
const (
	recordsTable = "records"
	indexTable   = "index"
	usesTable    = "uses"
	useSize      = 8 + 8 + 1
)

// tables are those of one transaction.
type tables struct{ records, index, uses *bbolt.Bucket }

func tablesOf(tx *bbolt.Tx) tables {
	return tables{
		records: tx.Bucket([]byte(recordsTable)),
		index:   tx.Bucket([]byte(indexTable)),
		uses:    tx.Bucket([]byte(usesTable)),
	}
}

// put stores a record that is sealed under the key of an id. This is the fence: no text gets into
// the store by another way.
func (t tables) put(r Record, keyID string) error {
	use, err := t.use(keyID)
	if err != nil {
		return err
	}
	if use.Retired {
		return &Error{Problem: Retired, KeyID: keyID, Err: errFence}
	}
	use.Seals++
	if old := t.records.Get([]byte(r.ID)); old == nil || keyOf(old) != keyID {
		if err = t.remove(r.ID); err != nil {
			return err
		}
		use.Records++
		if err = t.index.Put(indexKey(keyID, r.ID), nil); err != nil {
			return err
		}
	}
	if err = t.setUse(use); err != nil {
		return err
	}
	return t.records.Put([]byte(r.ID), []byte(r.Sealed))
}

// remove removes a record, if there is one.
func (t tables) remove(record string) error {
	value := t.records.Get([]byte(record))
	if value == nil {
		return nil
	}
	keyID := keyOf(value)
	use, err := t.use(keyID)
	if err != nil {
		return err
	}
	if use.Records == 0 {
		return &Error{Problem: Storage, KeyID: keyID, Err: errFile}
	}
	use.Records--
	if err = t.setUse(use); err != nil {
		return err
	}
	if err = t.index.Delete(indexKey(keyID, record)); err != nil {
		return err
	}
	return t.records.Delete([]byte(record))
}

// under returns the ids of records under a key. They are copies.
func (t tables) under(keyID, after string, limit int) []string {
	prefix := indexKey(keyID, "")
	cursor := t.index.Cursor()
	key, _ := cursor.Seek(indexKey(keyID, after))
	if bytes.Equal(key, indexKey(keyID, after)) { // no record has the id ""
		key, _ = cursor.Next()
	}
	var records []string
	for len(records) < limit && bytes.HasPrefix(key, prefix) {
		records = append(records, string(key[len(prefix):]))
		key, _ = cursor.Next()
	}
	return records
}

// use returns the use of a key; of one that was never used it is zero but for the id.
func (t tables) use(keyID string) (Use, error) {
	return decodeUse(keyID, t.uses.Get([]byte(keyID)))
}

func (t tables) setUse(u Use) error {
	value := make([]byte, useSize)
	binary.BigEndian.PutUint64(value, u.Records)
	binary.BigEndian.PutUint64(value[8:], u.Seals)
	if u.Retired {
		value[16] = 1
	}
	return t.uses.Put([]byte(u.KeyID), value)
}

func decodeUse(keyID string, value []byte) (Use, error) {
	if value == nil {
		return Use{KeyID: keyID}, nil
	}
	if len(value) != useSize {
		return Use{}, &Error{Problem: Storage, KeyID: keyID, Err: errFile}
	}
	return Use{
		KeyID:   keyID,
		Records: binary.BigEndian.Uint64(value),
		Seals:   binary.BigEndian.Uint64(value[8:]),
		Retired: value[16] == 1,
	}, nil
}

// indexKey is a key of the index. No id of a key has a colon, so none is the beginning of another.
func indexKey(keyID, record string) []byte { return []byte(keyID + ":" + record) }

// keyOf returns the id in a stored text, whose form was looked at before it was stored.
func keyOf(value []byte) string {
	id, _, _ := strings.Cut(string(value[:min(len(value), idLenMax+1)]), ":")
	return id
}
