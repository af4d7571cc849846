package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/chain"
	"latchkey/internal/secret"
)

var totalsColumns = columnsOf[totalsRow](nil)

// Begin begins the chains.
func (c auditChain) Begin(ctx context.Context, keys *secret.Keyring, at time.Time, again bool) (totals chain.Totals,
	begun bool, err error) {
	if row, err := readTotals(c.engine.reader(ctx)); err == nil && !again && row.totals().Signed(keys) {
		return row.totals(), false, nil // also without a lock
	}
	err = c.write(ctx, sealing, held{}, func(tx *gorm.DB) error {
		empty := totalsRow{ID: 1, HeadSum: []byte{}, Mark: []byte{}}
		insert := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&empty)
		if insert.Error != nil {
			return insert.Error
		}
		row, err := c.lockTotals(tx)
		if err != nil {
			return err
		}
		if totals = row.totals(); totals.Signed(keys) && !again {
			return nil
		}
		if !again {
			if err := mayBegin(tx, row); err != nil {
				return err
			}
		}
		restarts := int64(0)
		if again {
			restarts = max(0, row.Restarts) + 1
		}
		totals, begun = chain.NewTotals(keys, at, restarts), true
		row = totalsRow{ID: 1, Swept: c.Dialect() == sqliteDialect.name}
		row.set(totals)
		if again {
			if err := c.forget(tx, keys, totals.Epoch); err != nil {
				return err
			}
		}
		return tx.Save(&row).Error
	})
	return totals, begun && err == nil, failed(ctx, "begin the audit chains", err)
}

// mayBegin returns chain.Broken unless the database is empty. A database without totals that has events is one whose
// totals were removed, or has events from before the chains.
func mayBegin(tx *gorm.DB, row totalsRow) error {
	var some bool
	err := tx.Raw(`SELECT EXISTS (SELECT 1 FROM accounts) OR EXISTS (SELECT 1 FROM audit_events)
		OR EXISTS (SELECT 1 FROM audit_chain) OR EXISTS (SELECT 1 FROM audit_heads)
		OR EXISTS (SELECT 1 FROM audit_checkpoints)`).Scan(&some).Error
	if err == nil && (some || row.MarkKey != "") {
		err = &chain.Broken{Problem: "the audit chains were never begun, or their signed totals were removed"}
	}
	return err
}

// forget removes the chains, so that all events are sealed again, and streams begin again.
func (c auditChain) forget(tx *gorm.DB, keys *secret.Keyring, epoch uuid.UUID) error {
	statements := []string{"DELETE FROM audit_chain", "DELETE FROM audit_heads", "DELETE FROM audit_checkpoints"}
	if c.Dialect() == sqliteDialect.name {
		statements = append(statements, "DELETE FROM audit_unsealed",
			`INSERT INTO audit_unsealed (account_id, event_id) SELECT account_id, id FROM audit_events ORDER BY account_id, id`)
	} else { // events of another cluster may have transactions that this one has not reached
		statements = append(statements,
			"UPDATE audit_events SET xid = NULL WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())")
	}
	for _, statement := range statements {
		if err := tx.Exec(statement).Error; err != nil {
			return err
		}
	}
	// A server that sends does not store its place any more, and takes the lease again.
	if err := tx.Table("audit_streams").Where("true").Update("holder", uuid.Nil).Error; err != nil {
		return err
	}
	var targets []string
	if err := tx.Table("audit_streams").Pluck("target", &targets).Error; err != nil {
		return err
	}
	for _, target := range targets {
		p := chain.Position{Epoch: epoch, Target: target}
		p.Sign(keys)
		if err := savePosition(tx, p); err != nil {
			return err
		}
	}
	return tx.Exec("UPDATE audit_streams SET until_at = " + c.engine.dialect().now).Error
}

func savePosition(tx *gorm.DB, p chain.Position) error {
	return tx.Exec("UPDATE audit_streams SET place = ?, mark = ?, mark_key = ? WHERE target = ?", p.Place,
		p.Mark.Digest[:], string(p.Mark.Key), p.Target).Error
}

// lockTotals waits for the server that seals. It returns chain.Broken if there are no totals.
func (c auditChain) lockTotals(tx *gorm.DB) (row totalsRow, err error) {
	if c.Dialect() == postgresDialect.name {
		tx = tx.Clauses(clause.Locking{Strength: "UPDATE"})
	}
	return readTotals(tx)
}

// Checkpoint signs heads that have no current checkpoint.
func (c auditChain) Checkpoint(ctx context.Context, keys *secret.Keyring, at, since time.Time, limit int) (
	signed []chain.Checkpoint, err error) {
	err = c.write(ctx, sealing, held{}, func(tx *gorm.DB) error {
		signed = nil
		row, err := c.lockTotals(tx)
		if err != nil {
			return err
		}
		ledger, err := row.totals().Open(keys)
		if err != nil {
			return err
		}
		var due []headRow
		q := tx.Where("number > signed_number AND (signed_at IS NULL OR signed_at <= ?)", instant{since})
		if err := q.Order("account_id").Limit(limit).Find(&due).Error; err != nil || len(due) == 0 {
			return err
		}
		for _, r := range due {
			before := r.head()
			if !before.Signed(keys) {
				return &chain.Broken{AccountID: r.AccountID,
					Problem: "the head of the audit chain is not signed by this server's keys"}
			}
			checkpoint := chain.Checkpoint{AccountID: r.AccountID, Number: r.Number, Hash: before.Hash, At: at,
				Previous: before.SignedNumber}
			checkpoint.Sign(keys)
			after := before
			after.SignedNumber, after.SignedAt = r.Number, at
			after.Sign(keys)
			ledger.Replace(before, after)
			err := errors.Join(tx.Save(new(newHeadRow(after))).Error,
				tx.Create(new(newCheckpointRow(checkpoint))).Error)
			if err != nil {
				return err
			}
			signed = append(signed, checkpoint)
		}
		row.set(ledger.Sign())
		return tx.Save(&row).Error
	})
	if err != nil {
		signed = nil
	}
	return signed, failed(ctx, "sign audit heads", err)
}

// Renew signs the totals last, after it has verified all heads.
func (c auditChain) Renew(ctx context.Context, keys *secret.Keyring, limit int) (renewed int, err error) {
	err = c.write(ctx, sealing, held{}, func(tx *gorm.DB) error {
		renewed = 0
		row, err := c.lockTotals(tx)
		if err != nil {
			return err
		}
		ledger, err := row.totals().Open(keys)
		if err != nil {
			return err
		}
		for _, renew := range []func(*gorm.DB, *secret.Keyring, chain.Totals, int) (int, error){renewHeads,
			renewCheckpoints, renewPositions} {
			n, err := renew(tx, keys, row.totals(), limit)
			if renewed += n; err != nil {
				return err
			}
		}
		if renewed > 0 || row.MarkKey == string(keys.IDs()[0]) {
			return nil
		}
		all := ledger.Recount()
		var heads []headRow
		err = tx.FindInBatches(&heads, 1000, func(*gorm.DB, int) error {
			for _, r := range heads {
				all.Add(r.head())
			}
			return nil
		}).Error
		if err := errors.Join(err, all.Err()); err != nil {
			return err
		}
		renewed = 1
		row.set(all.Next().Sign())
		return tx.Save(&row).Error
	})
	if err != nil {
		renewed = 0
	}
	return renewed, failed(ctx, "sign the audit chains with the current key", err)
}

func renewHeads(tx *gorm.DB, keys *secret.Keyring, _ chain.Totals, limit int) (int, error) {
	var rows []headRow
	if err := tx.Where("mark_key <> ?", string(keys.IDs()[0])).Limit(limit).Find(&rows).Error; err != nil {
		return 0, err
	}
	for _, r := range rows {
		head := r.head()
		if !head.Signed(keys) {
			return 0, &chain.Broken{AccountID: r.AccountID,
				Problem: "the head of the audit chain is not signed by this server's keys"}
		}
		head.Sign(keys)
		if err := tx.Save(new(newHeadRow(head))).Error; err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

func renewCheckpoints(tx *gorm.DB, keys *secret.Keyring, _ chain.Totals, limit int) (int, error) {
	key := string(keys.IDs()[0])
	var rows []checkpointRow
	q := tx.Where("signature_key < ? OR signature_key > ?", key, key) // in the index
	if err := q.Limit(limit).Find(&rows).Error; err != nil {
		return 0, err
	}
	for _, r := range rows {
		checkpoint := r.checkpoint()
		if !checkpoint.Signed(keys) {
			return 0, &chain.Broken{AccountID: r.AccountID,
				Problem: "a checkpoint of the audit chain is not signed by this server's keys"}
		}
		checkpoint.Sign(keys)
		if err := tx.Save(new(newCheckpointRow(checkpoint))).Error; err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// renewPositions leaves positions that are not signed to the stream, which reports them.
func renewPositions(tx *gorm.DB, keys *secret.Keyring, totals chain.Totals, limit int) (int, error) {
	var rows []streamRow
	q := tx.Table("audit_streams").Where("place IS NOT NULL AND mark_key <> ?", string(keys.IDs()[0]))
	if err := q.Limit(limit).Find(&rows).Error; err != nil {
		return 0, err
	}
	renewed := 0
	for _, r := range rows {
		p := chain.Position{Epoch: totals.Epoch, Target: r.Target, Place: *r.Place, Mark: digestOf(r.Mark, r.MarkKey)}
		if !p.Signed(keys) {
			continue
		}
		renewed++
		p.Sign(keys)
		if err := savePosition(tx, p); err != nil {
			return renewed, err
		}
	}
	return renewed, nil
}
