package gormdb

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/webhook"
)

// advisoryLocks are the transaction-level advisory locks that a write takes on PostgreSQL before it locks rows. Row
// locks decide what a write may do, and advisory locks decide whose turn it is:
//
//   - Row locks are not fair. New sharers of a row overtake a transaction that waits to lock it exclusively, so a
//     bearer that writes all the time, and waits in its writes for another row, could prevent the revocation of its own
//     token. A new sharer of an advisory lock waits behind an earlier exclusive locker.
//   - A row lock gives its transaction a number, which becomes the position of its events in the log (log_append.go),
//     even if the transaction then waits. An advisory lock does not. So a revocation gets its number after the writes
//     that it waited for, and its event comes after theirs.
//
// Servers of releases without advisory locks use only the row locks, so a write must take both.
//
// Each element is a key, shifted left by one bit, plus one if the lock is exclusive. The list is ordered and contains
// each key once, so that writes do not deadlock, not even if two IDs have the same key.
type advisoryLocks []int64

// lockClass is what an advisory lock protects. Writes take the locks in the order of the classes.
type lockClass int64

const (
	// ofUsers is shared by the writes of an account's sessions, whose rights depend on the account's users. It is
	// exclusive for what locks the account's row against other writers (held).
	ofUsers lockClass = iota
	// ofTokens is shared by the writes of an account's API tokens and by changes of single tokens. It is exclusive
	// for writes that revoke many tokens or tokens which they find themselves, and for suspensions.
	ofTokens
	// ofToken is shared by the writes of an API token and exclusive for its changes and its revocation.
	ofToken
	// ofSession is shared by the writes of a session and exclusive for its revocation.
	ofSession
	// ofMerchant is shared by the writes of a merchant's charges and exclusive for issuing an invoice. Unlike the
	// others it is taken after the rows of the actor (lockMerchant), except by usage charges (lockUsage). What issues
	// an invoice locks no rows of an actor, so that the two orders do not deadlock.
	ofMerchant
	// ofOrder is exclusive for what postpones the deliveries of a webhook, and for what makes postponed ones due since
	// others have ended. Otherwise the first could postpone, behind a delivery that the second ends, one that the
	// second does not see. It is taken after the row of the webhook, and the first does not wait for it.
	ofOrder
)

// keyBits is the length of the hash in a key, below the bits of the class. So keys are less than 1<<62. The keys of
// other advisory locks, of migrations and of the registry of replicas, are lower-case letters and therefore greater.
const keyBits = 59

// mostSingleLocks bounds the advisory locks of one write, since PostgreSQL keeps the locks of all transactions in a
// table of fixed size. A write that changes more tokens locks all tokens of the account.
const mostSingleLocks = 16

// share adds a lock that other writes may share.
func (l *advisoryLocks) share(class lockClass, account, id uuid.UUID) { l.add(class, account, id, 0) }

// exclude adds an exclusive lock.
func (l *advisoryLocks) exclude(class lockClass, account, id uuid.UUID) { l.add(class, account, id, 1) }

// add adds a lock of an account. IDs in requests are locked before it is known whether they are the account's. So the
// account is part of the key: a request with the ID of another account's token does not block that account. The hash
// is cryptographic, since a client could choose IDs whose keys collide otherwise.
func (l *advisoryLocks) add(class lockClass, account, id uuid.UUID, exclusive int64) {
	hash := sha256.Sum256(append(account[:], id[:]...))
	key := int64(class)<<keyBits | int64(binary.BigEndian.Uint64(hash[:])>>(64-keyBits))
	at, found := slices.BinarySearchFunc(*l, key, func(lock, key int64) int { return cmp.Compare(lock>>1, key) })
	if found {
		(*l)[at] |= exclusive
		return
	}
	*l = slices.Insert(*l, at, key<<1|exclusive)
}

// actAs adds the locks that an actor shares.
func (l *advisoryLocks) actAs(by auth.Actor) {
	switch {
	case by.NoCredential != "":
	case by.Credential.Kind.IsSession():
		l.share(ofUsers, by.AccountID, by.AccountID)
		l.share(ofSession, by.AccountID, by.Credential.ID)
	default:
		l.share(ofTokens, by.AccountID, by.AccountID)
		l.share(ofToken, by.AccountID, by.ID)
	}
}

// changeTokens adds the locks of a write that changes tokens of an account.
func (l *advisoryLocks) changeTokens(accountID uuid.UUID, ids []uuid.UUID) {
	switch {
	case len(ids) == 0:
	case len(ids) > mostSingleLocks:
		l.exclude(ofTokens, accountID, accountID)
	default:
		l.share(ofTokens, accountID, accountID)
		for _, id := range ids {
			l.exclude(ofToken, accountID, id)
		}
	}
}

// endSessions adds the locks of a write that revokes sessions. For many sessions these are the locks of their accounts.
func (l *advisoryLocks) endSessions(list []sessionKey) {
	var accounts []uuid.UUID
	for _, s := range list {
		if len(list) <= mostSingleLocks {
			l.exclude(ofSession, s.AccountID, s.ID)
		} else if !slices.Contains(accounts, s.AccountID) && len(accounts) < mostSingleLocks {
			accounts = append(accounts, s.AccountID)
			l.exclude(ofUsers, s.AccountID, s.AccountID)
		}
	}
}

// advisoryLocksOf returns the advisory locks of a write.
func advisoryLocksOf(by auth.Actor, h held) advisoryLocks {
	var l advisoryLocks
	l.actAs(by)
	if h.account != uuid.Nil {
		l.exclude(ofUsers, h.account, h.account)
	}
	if h.allTokens {
		of := cmp.Or(h.tokensOf, h.account)
		l.exclude(ofTokens, of, of)
	} else {
		l.changeTokens(h.tokensOf, h.tokens)
	}
	l.endSessions(h.sessions)
	return l
}

// array returns the locks as the text of a PostgreSQL array.
func (l advisoryLocks) array() string {
	texts := make([]string, len(l))
	for i, lock := range l {
		texts[i] = strconv.FormatInt(lock, 10)
	}
	return "{" + strings.Join(texts, ",") + "}"
}

// tryOrder takes the lock ofOrder of a webhook, and reports whether it was free. SQLite has one writer.
func tryOrder(tx *gorm.DB, of webhook.Webhook) (free bool, err error) {
	if tx.Name() == sqliteDialect.name {
		return true, nil
	}
	return free, tx.Raw("SELECT pg_try_advisory_xact_lock(?)", orderOf(of)[0]>>1).Scan(&free).Error
}

// takeOrder takes the lock ofOrder of a webhook.
func takeOrder(tx *gorm.DB, of webhook.Webhook) error {
	if tx.Name() == sqliteDialect.name {
		return nil
	}
	return tx.Exec("SELECT "+takeAdvisory("?"), orderOf(of).array()).Error
}

func orderOf(w webhook.Webhook) (l advisoryLocks) {
	l.exclude(ofOrder, w.AccountID, w.ID)
	return l
}

// takeAdvisory returns a condition that is true and takes the advisory locks in a parameter, in their order. It is an
// uncorrelated subquery, which PostgreSQL runs once and before the statement locks the rows that meet the condition.
// The statement may have taken its snapshot before it waits here. That is enough to lock rows, which PostgreSQL reads
// again if they have changed since, but other reads belong in a later statement.
func takeAdvisory(parameter string) string {
	return `(SELECT count(CASE k & 1 WHEN 1 THEN pg_advisory_xact_lock(k >> 1)::text ELSE pg_advisory_xact_lock_shared(k >> 1)::text END)
		FROM unnest(` + parameter + `::bigint[]) AS k) >= 0`
}

// takeAdvisoryFirst is takeAdvisory for the first statement of a batch. The plans of the batch do not depend on its
// parameters, but PostgreSQL would plan each statement for the parameters of its first five runs in each connection,
// which takes several times longer than to run it.
func takeAdvisoryFirst(parameter string) string {
	return takeAdvisory(parameter) +
		` AND (SELECT set_config('plan_cache_mode', 'force_generic_plan', true)) = 'force_generic_plan'`
}
