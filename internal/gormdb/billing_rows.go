package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
)

// checkoutRow is the model of a checkout.
type checkoutRow struct {
	AccountID     uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;index:checkouts_waiting"`
	ID            uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;unique;index:checkouts_partner,priority:20"`
	PartnerID     uuid.UUID     `gorm:"<-:create;type:uuid;not null;index:checkouts_partner;index:checkouts_open;uniqueIndex:checkouts_key"`
	State         string        `gorm:"not null"`
	CreatedAt     instant       `gorm:"<-:create;not null"`
	CreatedByKind string        `gorm:"<-:create;not null"`
	CreatedByID   uuid.NullUUID `gorm:"<-:create;type:uuid"`
	CreatedByName string        `gorm:"<-:create;not null"`
	ExpiresAt     instant       `gorm:"<-:create;not null;index:checkouts_open,priority:20,where:state = 'OPEN';index:checkouts_waiting,priority:20,where:state = 'OPEN'"`
	AsOf          instant       `gorm:"<-:create"`
	ApprovedAt    instant
	ApprovedBy    uuid.NullUUID `gorm:"type:uuid"`
	DeclinedAt    instant
	DeclinedBy    uuid.NullUUID `gorm:"type:uuid"`
	// IdempotencyKey and RequestDigest are null without a key, and once the key may be used again.
	IdempotencyKey *string `gorm:"uniqueIndex:checkouts_key,where:idempotency_key IS NOT NULL"`
	RequestDigest  []byte

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	Partner *accountRow `gorm:"foreignKey:PartnerID;references:ID"`
}

// TableName tells gorm the table.
func (checkoutRow) TableName() string { return "checkouts" }

func newCheckoutRow(c billing.Checkout) checkoutRow {
	return checkoutRow{
		AccountID: c.MerchantID, ID: c.ID, PartnerID: c.PartnerID, State: string(c.State),
		CreatedAt: instant{c.CreatedAt}, CreatedByKind: string(c.CreatedBy.Kind),
		CreatedByID: optional(c.CreatedBy.ID), CreatedByName: c.CreatedBy.Name,
		ExpiresAt: instant{c.ExpiresAt}, AsOf: instant{c.AsOf},
		ApprovedAt: instant{c.ApprovedAt}, ApprovedBy: optional(c.ApprovedBy),
		DeclinedAt: instant{c.DeclinedAt}, DeclinedBy: optional(c.DeclinedBy),
		IdempotencyKey: optionalText(c.Key), RequestDigest: c.Digest,
	}
}

func (r checkoutRow) checkout(items []listedItem) billing.Checkout {
	c := billing.Checkout{
		ID: r.ID, PartnerID: r.PartnerID, MerchantID: r.AccountID, State: billing.CheckoutState(r.State),
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, AsOf: r.AsOf.Time,
		CreatedBy: audit.Actor{Kind: audit.ActorKind(r.CreatedByKind), ID: r.CreatedByID.UUID,
			Name: r.CreatedByName},
		ApprovedAt: r.ApprovedAt.Time, ApprovedBy: r.ApprovedBy.UUID,
		DeclinedAt: r.DeclinedAt.Time, DeclinedBy: r.DeclinedBy.UUID,
		Key: textOf(r.IdempotencyKey), Digest: r.RequestDigest,
	}
	for _, i := range items {
		c.Items = append(c.Items, i.item())
	}
	return c
}

// checkoutItemRow is the model of an item of a checkout.
type checkoutItemRow struct {
	AccountID       uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	CheckoutID      uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	Ordinal         int64     `gorm:"<-:create;primaryKey;autoIncrement:false"`
	AppID           int64     `gorm:"<-:create;not null"`
	StoreID         uuid.UUID `gorm:"<-:create;type:uuid;not null"`
	Level           string    `gorm:"<-:create;not null"`
	Description     string    `gorm:"<-:create;not null"`
	RedirectURL     string    `gorm:"<-:create;not null"`
	BillingInterval string    `gorm:"<-:create;not null"`
	Price           int64     `gorm:"<-:create;not null"`
	Currency        string    `gorm:"<-:create;not null"`
	Cap             *int64    `gorm:"<-:create"`
	TrialDays       int64     `gorm:"<-:create;not null"`
	// SubscriptionID is null until a subscription is created.
	SubscriptionID uuid.NullUUID `gorm:"type:uuid"`
	Changes        bool          `gorm:"<-:create;not null"`
	Preview        []byte        `gorm:"<-:create"`

	Checkout *checkoutRow `gorm:"foreignKey:AccountID,CheckoutID;references:AccountID,ID"`
	App      *appRow      `gorm:"foreignKey:AppID;references:ID"`
}

// TableName tells gorm the table.
func (checkoutItemRow) TableName() string { return "checkout_items" }

func newCheckoutItemRows(c billing.Checkout) []checkoutItemRow {
	rows := make([]checkoutItemRow, len(c.Items))
	for n, i := range c.Items {
		rows[n] = checkoutItemRow{
			AccountID: c.MerchantID, CheckoutID: c.ID, Ordinal: int64(n), AppID: i.AppID, StoreID: i.StoreID,
			Level: i.Level, Description: i.Description, RedirectURL: i.RedirectURL,
			BillingInterval: string(i.Interval), Price: i.Price.Minor, Currency: i.Price.Currency, Cap: i.Cap,
			TrialDays: int64(i.TrialDays), SubscriptionID: optional(i.SubscriptionID), Changes: i.Changes,
			Preview: i.Preview,
		}
	}
	return rows
}

// listedItem is an item with the hash of its store. It is read from checkout_items AS i and stores AS h.
type listedItem struct {
	Row       checkoutItemRow `gorm:"embedded" sql:"i"`
	StoreHash string          `sql:"coalesce(h.hash, '')"`
}

func (l listedItem) item() billing.Item {
	r := l.Row
	return billing.Item{
		AppID: r.AppID, StoreID: r.StoreID, StoreHash: l.StoreHash, Level: r.Level, Description: r.Description,
		RedirectURL: r.RedirectURL, Interval: billing.Interval(r.BillingInterval),
		Price: billing.Money{Minor: r.Price, Currency: r.Currency}, Cap: r.Cap, TrialDays: int(r.TrialDays),
		SubscriptionID: r.SubscriptionID.UUID, Changes: r.Changes, Preview: r.Preview,
	}
}

// subscriptionRow is the model of a subscription.
type subscriptionRow struct {
	AccountID   uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	ID          uuid.UUID `gorm:"<-:create;type:uuid;primaryKey;unique;index:subscriptions_partner,priority:20;index:subscriptions_due,priority:20"`
	PartnerID   uuid.UUID `gorm:"<-:create;type:uuid;not null;index:subscriptions_partner;index:subscriptions_updated"`
	StoreID     uuid.UUID `gorm:"<-:create;type:uuid;not null"`
	AppID       int64     `gorm:"<-:create;not null"`
	CreatedAt   instant   `gorm:"<-:create;not null"`
	UpdatedAt   instant   `gorm:"not null;autoUpdateTime:false;index:subscriptions_updated"`
	ActivatedAt instant   `gorm:"<-:create;not null"`
	TrialEndsAt instant   `gorm:"<-:create"`
	CancelAt    instant
	CancelledAt instant
	CreditsRest bool  `gorm:"not null"`
	EndCredited int64 `gorm:"not null"`
	EndedAt     instant
	SuspendedAt instant
	Version     int64   `gorm:"not null"`
	BilledUntil instant `gorm:"not null"`
	NextDueAt   instant `gorm:"index:subscriptions_due,where:next_due_at IS NOT NULL"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	Partner *accountRow `gorm:"foreignKey:PartnerID;references:ID"`
	App     *appRow     `gorm:"foreignKey:AppID;references:ID"`
}

// TableName tells gorm the table.
func (subscriptionRow) TableName() string { return "subscriptions" }

func newSubscriptionRow(s billing.Subscription) subscriptionRow {
	r := subscriptionRow{
		AccountID: s.MerchantID, ID: s.ID, PartnerID: s.PartnerID, StoreID: s.StoreID, AppID: s.AppID,
		CreatedAt: instant{s.CreatedAt}, UpdatedAt: instant{s.UpdatedAt}, ActivatedAt: instant{s.ActivatedAt},
		TrialEndsAt: instant{s.TrialEndsAt}, CancelAt: instant{s.CancelAt}, CancelledAt: instant{s.CancelledAt},
		CreditsRest: s.CreditsRest, EndCredited: s.EndCredited, EndedAt: instant{s.EndedAt}, Version: s.Version,
		BilledUntil: instant{s.BilledUntil}, NextDueAt: instant{s.NextDueAt},
	}
	if s.Suspended() {
		r.SuspendedAt = instant{s.Suspensions[len(s.Suspensions)-1].Start}
	}
	return r
}

// listedSubscription is a subscription with the hash of its store. It is read from subscriptions AS s and stores AS h.
type listedSubscription struct {
	Row       subscriptionRow `gorm:"embedded" sql:"s"`
	StoreHash string          `sql:"coalesce(h.hash, '')"`
}

func (l listedSubscription) subscription(terms []termRow, suspensions []suspensionRow) billing.Subscription {
	r := l.Row
	s := billing.Subscription{
		ID: r.ID, PartnerID: r.PartnerID, MerchantID: r.AccountID, StoreID: r.StoreID, StoreHash: l.StoreHash,
		AppID: r.AppID, CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time, ActivatedAt: r.ActivatedAt.Time,
		TrialEndsAt: r.TrialEndsAt.Time, CancelAt: r.CancelAt.Time, CancelledAt: r.CancelledAt.Time,
		CreditsRest: r.CreditsRest, EndCredited: r.EndCredited, EndedAt: r.EndedAt.Time, Version: r.Version,
		BilledUntil: r.BilledUntil.Time, NextDueAt: r.NextDueAt.Time,
	}
	for _, t := range terms {
		s.Terms = append(s.Terms, t.term())
	}
	s.Suspensions = spans(suspensions)
	return s
}

// termRow is the model of a term of a subscription. Rows are never changed.
type termRow struct {
	AccountID       uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	SubscriptionID  uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	Seq             int64     `gorm:"<-:create;primaryKey;autoIncrement:false"`
	FromAt          instant   `gorm:"<-:create;not null"`
	Level           string    `gorm:"<-:create;not null"`
	BillingInterval string    `gorm:"<-:create;not null"`
	Price           int64     `gorm:"<-:create;not null"`
	Currency        string    `gorm:"<-:create;not null"`
	Cap             *int64    `gorm:"<-:create"`
	CheckoutID      uuid.UUID `gorm:"<-:create;type:uuid;not null"`
	Item            int64     `gorm:"<-:create;not null"`
	ApprovedBy      uuid.UUID `gorm:"<-:create;type:uuid;not null"`
	Credited        int64     `gorm:"<-:create;not null"`

	Subscription *subscriptionRow `gorm:"foreignKey:AccountID,SubscriptionID;references:AccountID,ID"`
	CheckoutItem *checkoutItemRow `gorm:"foreignKey:AccountID,CheckoutID,Item;references:AccountID,CheckoutID,Ordinal"`
}

// TableName tells gorm the table.
func (termRow) TableName() string { return "subscription_terms" }

func newTermRow(s billing.Subscription, t billing.Term) termRow {
	return termRow{
		AccountID: s.MerchantID, SubscriptionID: s.ID, Seq: int64(t.Seq), FromAt: instant{t.From}, Level: t.Level,
		BillingInterval: string(t.Interval), Price: t.Price.Minor, Currency: t.Price.Currency, Cap: t.Cap,
		CheckoutID: t.CheckoutID, Item: int64(t.Item), ApprovedBy: t.ApprovedBy, Credited: t.Credited,
	}
}

func (r termRow) term() billing.Term {
	return billing.Term{
		Seq: int(r.Seq), From: r.FromAt.Time, Level: r.Level, Interval: billing.Interval(r.BillingInterval),
		Price: billing.Money{Minor: r.Price, Currency: r.Currency}, Cap: r.Cap, CheckoutID: r.CheckoutID,
		Item: int(r.Item), ApprovedBy: r.ApprovedBy, Credited: r.Credited,
	}
}

// suspensionRow is the model of a time in which a subscription was suspended.
type suspensionRow struct {
	AccountID      uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	SubscriptionID uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	Seq            int64     `gorm:"<-:create;primaryKey;autoIncrement:false"`
	FromAt         instant   `gorm:"<-:create;not null"`
	// UntilAt is null while the subscription is suspended.
	UntilAt instant

	Subscription *subscriptionRow `gorm:"foreignKey:AccountID,SubscriptionID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (suspensionRow) TableName() string { return "subscription_suspensions" }

// spans returns the times of suspensions.
func spans(rows []suspensionRow) (list []billing.Span) {
	for _, r := range rows {
		list = append(list, billing.Span{Start: r.FromAt.Time, End: r.UntilAt.Time})
	}
	return list
}

// invoiceRow is the model of an invoice. Rows are never changed.
type invoiceRow struct {
	AccountID uuid.UUID `gorm:"<-:create;type:uuid;primaryKey;uniqueIndex:invoices_month;uniqueIndex:invoices_number"`
	ID        uuid.UUID `gorm:"<-:create;type:uuid;primaryKey;unique"`
	Month     string    `gorm:"<-:create;not null;uniqueIndex:invoices_month"`
	Number    int64     `gorm:"<-:create;not null;uniqueIndex:invoices_number"`
	Currency  string    `gorm:"<-:create;not null;uniqueIndex:invoices_month"`
	Total     int64     `gorm:"<-:create;not null"`
	IssuedAt  instant   `gorm:"<-:create;not null"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
}

// TableName tells gorm the table.
func (invoiceRow) TableName() string { return "invoices" }

func newInvoiceRow(i billing.Invoice) invoiceRow {
	return invoiceRow{i.MerchantID, i.ID, i.Month, i.Number, i.Total.Currency, i.Total.Minor, instant{i.IssuedAt}, nil}
}

func (r invoiceRow) invoice() billing.Invoice {
	return billing.Invoice{
		ID: r.ID, MerchantID: r.AccountID, Month: r.Month, Number: r.Number,
		Total: billing.Money{Minor: r.Total, Currency: r.Currency}, IssuedAt: r.IssuedAt.Time,
	}
}

// chargeRow is the model of a charge.
type chargeRow struct {
	AccountID      uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;uniqueIndex:charges_source;index:charges_subscription;index:charges_pending,priority:20;index:charges_invoice,priority:1;index:charges_credits"`
	ID             uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;unique;index:charges_partner,priority:20;index:charges_invoice,priority:4"`
	PartnerID      uuid.NullUUID `gorm:"<-:create;type:uuid;index:charges_partner"`
	SubscriptionID uuid.NullUUID `gorm:"<-:create;type:uuid;index:charges_subscription"`
	Term           *int64        `gorm:"<-:create"`
	Kind           string        `gorm:"<-:create;not null"`
	Amount         int64         `gorm:"<-:create;not null"`
	Currency       string        `gorm:"<-:create;not null"`
	PeriodStart    instant       `gorm:"<-:create;index:charges_subscription"`
	PeriodEnd      instant       `gorm:"<-:create"`
	DueAt          instant       `gorm:"<-:create;not null;index:charges_pending,where:status = 'PENDING';index:charges_invoice,priority:3;index:charges_token,priority:20"`
	CreatedAt      instant       `gorm:"<-:create;not null"`
	SourceKey      string        `gorm:"<-:create;not null;uniqueIndex:charges_source"`
	Status         string        `gorm:"not null"`
	InvoiceID      uuid.NullUUID `gorm:"type:uuid;index:charges_invoice,priority:2"`
	CreditOf       uuid.NullUUID `gorm:"<-:create;type:uuid;index:charges_credits,where:credit_of IS NOT NULL"`
	Description    string        `gorm:"<-:create;not null"`
	RequestDigest  []byte        `gorm:"<-:create"`
	APITokenID     uuid.NullUUID `gorm:"<-:create;type:uuid;index:charges_token,where:api_token_id IS NOT NULL"`

	Account      *accountRow      `gorm:"foreignKey:AccountID;references:ID"`
	Subscription *subscriptionRow `gorm:"foreignKey:AccountID,SubscriptionID;references:AccountID,ID"`
	Invoice      *invoiceRow      `gorm:"foreignKey:AccountID,InvoiceID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (chargeRow) TableName() string { return "charges" }

func newChargeRow(c billing.Charge) chargeRow {
	r := chargeRow{
		AccountID: c.MerchantID, ID: c.ID, PartnerID: optional(c.PartnerID),
		SubscriptionID: optional(c.SubscriptionID), Kind: string(c.Kind), Amount: c.Amount.Minor,
		Currency: c.Amount.Currency, PeriodStart: instant{c.Period.Start}, PeriodEnd: instant{c.Period.End},
		DueAt: instant{c.DueAt}, CreatedAt: instant{c.CreatedAt}, SourceKey: c.SourceKey, Status: string(c.Status),
		InvoiceID: optional(c.InvoiceID), CreditOf: optional(c.CreditOf), Description: c.Description,
		RequestDigest: c.Digest, APITokenID: optional(c.TokenID),
	}
	if c.SubscriptionID != uuid.Nil {
		term := int64(c.Term)
		r.Term = &term
	}
	return r
}

func (r chargeRow) charge() billing.Charge {
	c := billing.Charge{
		ID: r.ID, MerchantID: r.AccountID, PartnerID: r.PartnerID.UUID, SubscriptionID: r.SubscriptionID.UUID,
		Kind: billing.ChargeKind(r.Kind), Amount: billing.Money{Minor: r.Amount, Currency: r.Currency},
		Period: billing.Span{Start: r.PeriodStart.Time, End: r.PeriodEnd.Time}, DueAt: r.DueAt.Time,
		CreatedAt: r.CreatedAt.Time, SourceKey: r.SourceKey, Status: billing.ChargeStatus(r.Status),
		InvoiceID: r.InvoiceID.UUID, CreditOf: r.CreditOf.UUID, Description: r.Description, Digest: r.RequestDigest,
		TokenID: r.APITokenID.UUID,
	}
	if r.Term != nil {
		c.Term = int(*r.Term)
	}
	return c
}

// billedRow is what a billing run stores of a subscription.
type billedRow struct {
	AccountID   uuid.UUID
	ID          uuid.UUID
	Version     int64
	BilledUntil instant
	NextDueAt   instant
	EndedAt     instant
}

// The columns of the models in hand-written statements.
var (
	checkoutColumns     = columnsOf[checkoutRow](nil)
	itemColumns         = columnsOf[listedItem](nil)
	subscriptionColumns = columnsOf[subscriptionRow](nil)
	listedColumns       = columnsOf[listedSubscription](nil)
	termColumns         = columnsOf[termRow](nil)
	suspensionColumns   = columnsOf[suspensionRow](nil)
	chargeColumns       = columnsOf[chargeRow](nil)
	billedColumns       = columnsOf[billedRow](nil)
)
