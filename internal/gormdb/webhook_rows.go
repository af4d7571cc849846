package gormdb

import (
	"cmp"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/secret"
	"latchkey/internal/webhook"
)

// webhookRow is the model of a webhook. An update of the webhook writes the columns without a "<-"
// (columns.changeable).
type webhookRow struct {
	AccountID     uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey"`
	ID            uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;unique"`
	Kind          string        `gorm:"<-:create;not null"`
	URL           string        `gorm:"not null"`
	Description   string        `gorm:"not null"`
	Types         string        `gorm:"not null"`
	State         string        `gorm:"not null"`
	StateReason   string        `gorm:"not null"`
	CreatedAt     instant       `gorm:"<-:create;not null"`
	CreatedByKind string        `gorm:"<-:create;not null"`
	CreatedByID   uuid.NullUUID `gorm:"<-:create;type:uuid"`
	CreatedByName string        `gorm:"<-:create;not null"`
	Secret        []byte        `gorm:"not null"`
	SecretKey     string        `gorm:"not null"`
	SecretHint    string        `gorm:"not null"`
	Previous      []byte
	PreviousKey   *string
	PreviousHint  *string
	// PreviousExpiresAt is null without a previous secret.
	PreviousExpiresAt instant
	Failures          int64   `gorm:"not null"`
	FailingSince      instant `gorm:"index:webhooks_failing,where:failing_since IS NOT NULL"`
	FailingReported   bool    `gorm:"not null"`
	// Proven reports whether the last attempt that ended succeeded. Edition counts how often pending deliveries were
	// ended.
	Proven  bool  `gorm:"<-:create;not null"`
	Edition int64 `gorm:"<-:create;not null"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
}

// TableName tells gorm the table.
func (webhookRow) TableName() string { return "webhooks" }

var webhookColumns = columnsOf[webhookRow](nil)

func newWebhookRow(w webhook.Webhook) webhookRow {
	return webhookRow{
		AccountID: w.AccountID, ID: w.ID, Kind: string(cmp.Or(w.Kind, webhook.HTTP)), URL: w.URL,
		Description: w.Description,
		Types:       joined(w.Types), State: string(w.State), StateReason: w.StateReason,
		CreatedAt: instant{w.CreatedAt}, CreatedByKind: string(w.CreatedBy.Kind), CreatedByID: optional(w.CreatedBy.ID),
		CreatedByName: w.CreatedBy.Name,
		Secret:        sealedText(w.Secret), SecretKey: string(w.Secret.Sealed.Key), SecretHint: w.Secret.Hint,
		Previous: w.Previous.Sealed.Text, PreviousKey: optionalText(string(w.Previous.Sealed.Key)),
		PreviousHint: optionalText(w.Previous.Hint), PreviousExpiresAt: instant{w.PreviousExpiresAt},
		FailingSince: instant{w.FailingSince},
	}
}

// sealedText returns the text of a secret, which is empty and not null for an event source, which has none.
func sealedText(s webhook.SigningSecret) []byte {
	if s.Sealed.Text == nil {
		return []byte{}
	}
	return s.Sealed.Text
}

func (r *webhookRow) webhook() webhook.Webhook {
	w := webhook.Webhook{
		AccountID: r.AccountID, ID: r.ID, Kind: webhook.Kind(r.Kind), URL: r.URL, Description: r.Description,
		Types: split[string](r.Types), State: webhook.State(r.State), StateReason: r.StateReason,
		FailingSince: r.FailingSince.Time, CreatedAt: r.CreatedAt.Time,
		CreatedBy: audit.Actor{Kind: audit.ActorKind(r.CreatedByKind), ID: r.CreatedByID.UUID,
			Name: r.CreatedByName},
		Secret:            signingSecret(r.SecretKey, r.Secret, r.SecretHint),
		Previous:          signingSecret(textOf(r.PreviousKey), r.Previous, textOf(r.PreviousHint)),
		PreviousExpiresAt: r.PreviousExpiresAt.Time,
	}
	return w
}

func signingSecret(key string, text []byte, hint string) webhook.SigningSecret {
	if len(text) == 0 {
		text = nil
	}
	return webhook.SigningSecret{Sealed: secret.Sealed{Key: secret.KeyID(key), Text: text}, Hint: hint}
}

// webhookTypeRow is the model of a type of a webhook that is not disabled.
type webhookTypeRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	Type      string    `gorm:"primaryKey"`
	WebhookID uuid.UUID `gorm:"type:uuid;primaryKey"`

	Webhook *webhookRow `gorm:"foreignKey:AccountID,WebhookID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (webhookTypeRow) TableName() string { return "webhook_types" }

// deliveryRow is the model of a delivery. It does not reference the webhook, which may be deleted while events are
// recorded for it.
type deliveryRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	WebhookID uuid.UUID `gorm:"type:uuid;primaryKey;index:deliveries_due;index:deliveries_leased;index:deliveries_subject"`
	EventID   uuid.UUID `gorm:"type:uuid;primaryKey;index:deliveries_due,priority:20,where:state = 'PENDING';index:deliveries_subject,priority:20,where:state = 'PENDING'"`
	Subject   string    `gorm:"not null;index:deliveries_subject"`
	Sequence  int64     `gorm:"not null;index:deliveries_subject"`
	State     string    `gorm:"not null;index:deliveries_created"`
	// Attempts counts those since the delivery was scheduled, and Numbered counts all.
	Attempts int64   `gorm:"not null"`
	Numbered int64   `gorm:"not null"`
	NextAt   instant `gorm:"not null;index:deliveries_due"`
	// LeaseUntil and LeaseToken are those of older programs.
	LeaseUntil instant       `gorm:"index:deliveries_leased,where:lease_token IS NOT NULL"`
	LeaseToken uuid.NullUUID `gorm:"type:uuid"`
	CreatedAt  instant       `gorm:"not null;index:deliveries_created"`
}

// TableName tells gorm the table.
func (deliveryRow) TableName() string { return "deliveries" }

// attemptRow is the model of an attempt of a delivery.
type attemptRow struct {
	AccountID    uuid.UUID `gorm:"type:uuid;primaryKey;index:attempts_webhook"`
	WebhookID    uuid.UUID `gorm:"type:uuid;primaryKey;index:attempts_webhook"`
	EventID      uuid.UUID `gorm:"type:uuid;primaryKey"`
	Number       int64     `gorm:"primaryKey;autoIncrement:false"`
	At           instant   `gorm:"not null;index:attempts_webhook;index:attempts_at"`
	Status       int64     `gorm:"not null"`
	DurationMs   int64     `gorm:"not null"`
	Error        string    `gorm:"not null"`
	ResponseHead string    `gorm:"not null"`
}

// TableName tells gorm the table.
func (attemptRow) TableName() string { return "attempts" }

func (r attemptRow) attempt() webhook.Attempt {
	return webhook.Attempt{Number: int(r.Number), At: r.At.Time, Status: int(r.Status),
		Duration: time.Duration(r.DurationMs) * time.Millisecond, Error: r.Error, ResponseHead: r.ResponseHead}
}

// listedDelivery is a delivery with its event. It is read from deliveries AS d and audit_events AS e.
type listedDelivery struct {
	WebhookID uuid.UUID `sql:"d"`
	State     string    `sql:"d"`
	NextAt    instant   `sql:"d"`
	Event     eventRow  `gorm:"embedded;embeddedPrefix:event_" sql:"e"`
}

var listedDeliveryColumns = columnsOf[listedDelivery](nil).list()

func (r listedDelivery) delivery() (webhook.Delivery, error) {
	e, err := r.Event.event()
	d := webhook.Delivery{WebhookID: r.WebhookID, Event: e, State: webhook.DeliveryState(r.State)}
	if d.State == webhook.Pending {
		d.NextAttemptAt = r.NextAt.Time
	}
	return d, err
}
