package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/eventsource"
)

// eventSourceRow is the model of an app's event source.
type eventSourceRow struct {
	AccountID   uuid.UUID `gorm:"type:uuid;primaryKey;index:event_sources_app"`
	ID          uuid.UUID `gorm:"type:uuid;primaryKey;index:event_sources_app,priority:12"`
	AppID       int64     `gorm:"not null;autoIncrement:false;index:event_sources_app,priority:11"`
	AWSAccount  string    `gorm:"column:aws_account;not null"`
	Region      string    `gorm:"not null;uniqueIndex:event_sources_region_partner_name_key"`
	PartnerName string    `gorm:"not null;uniqueIndex:event_sources_region_partner_name_key"`
	ARN         string    `gorm:"column:arn;not null"`
	State       string    `gorm:"not null"`
	CreatedAt   instant   `gorm:"not null"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	App     *appRow     `gorm:"foreignKey:AppID;references:ID"`
}

// TableName tells gorm the table.
func (eventSourceRow) TableName() string { return "event_sources" }

func newEventSourceRow(s eventsource.Source) eventSourceRow {
	return eventSourceRow{
		AccountID: s.AccountID, ID: s.ID, AppID: s.AppID, AWSAccount: s.AWSAccount, Region: string(s.Region),
		PartnerName: s.PartnerName, ARN: s.ARN, State: string(s.State), CreatedAt: instant{s.CreatedAt},
	}
}

func (r eventSourceRow) source() eventsource.Source {
	return eventsource.Source{
		AccountID: r.AccountID, ID: r.ID, AppID: r.AppID, AWSAccount: r.AWSAccount,
		Region:      eventsource.Region(r.Region),
		PartnerName: r.PartnerName, ARN: r.ARN, State: eventsource.State(r.State), CreatedAt: r.CreatedAt.Time,
	}
}

// listedEventSource is an event source with whether its webhook is enabled.
type listedEventSource struct {
	Source    eventSourceRow `gorm:"embedded"`
	Receiving bool
}

// listedEventSourceColumns are the columns of listedEventSource, read from event_sources.
var listedEventSourceColumns = columnsOf[eventSourceRow](nil).list() + `, EXISTS (SELECT 1 FROM webhooks AS w
	WHERE w.account_id = event_sources.account_id AND w.id = event_sources.id AND w.state = 'ENABLED') AS receiving`
