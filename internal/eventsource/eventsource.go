// Package eventsource manages the event sources of apps: partner event sources in Amazon EventBridge, to which the
// events of the app's account are sent. An event source that receives events has a webhook of the kind EventBridge with
// the same ID, so that package deliver sends to it as it does to other webhooks. Package eventbridge is the client of
// Amazon EventBridge.
package eventsource

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// Region is an AWS region as the API names it, such as US_EAST_1.
type Region string

// Name returns the region's name in AWS, such as "us-east-1".
func (r Region) Name() string { return strings.ReplaceAll(strings.ToLower(string(r)), "_", "-") }

// RegionNamed returns the region with a name in AWS.
func RegionNamed(name string) Region {
	return Region(strings.ReplaceAll(strings.ToUpper(name), "-", "_"))
}

// State is the state of an event source.
type State string

// The states of event sources.
const (
	// Creating: Amazon EventBridge was asked to create it. It is in no list.
	Creating State = "CREATING"
	// Active: it exists in Amazon EventBridge.
	Active State = "ACTIVE"
	// Removing: it receives no events, and Amazon EventBridge was asked to delete it.
	Removing State = "REMOVING"
)

// Source is an event source of an app.
type Source struct {
	AccountID, ID uuid.UUID
	AppID         int64
	// AWSAccount is the AWS account that may receive the events, twelve digits.
	AWSAccount string
	Region     Region
	// PartnerName is the name in Amazon EventBridge, "aws.partner/PARTNER/APP/NAME". It is unique in the region.
	PartnerName string
	// ARN is empty while the source is Creating.
	ARN       string
	State     State
	CreatedAt time.Time
	// Receiving reports whether events are sent to the source: its webhook exists and is Enabled.
	Receiving bool
}

// Name returns the name that the client chose, the last part of PartnerName.
func (s Source) Name() string { return s.PartnerName[strings.LastIndexByte(s.PartnerName, '/')+1:] }

// CreatingFor is how long a source stays Creating at most. After that, the request that created it has ended, and
// another one may take its name.
const CreatingFor = 10 * time.Second

// Repository stores event sources. A write stores its event in the same transaction, and checks its actor there.
type Repository interface {
	// Reserve stores a source in the state Creating. It returns fault.LimitReached if the account has most sources,
	// without those that have been Creating since before stale, and fault.Conflict on "eventSourceName" if there is a
	// source with the name in the region that is Active, or Creating since stale. A source with the name in another
	// state gives way: Reserve deletes and returns it. Concurrent calls cannot exceed the limit.
	Reserve(ctx context.Context, by auth.Actor, s Source, most int, stale time.Time) (left *Source, err error)
	// Confirm makes a source that is Creating Active and stores its ARN, with the event and, unless w is nil, its
	// webhook. It returns fault.Conflict if the source gave way to another.
	Confirm(ctx context.Context, by auth.Actor, s Source, w *webhook.Webhook, e audit.Event) error
	// Abandon deletes a source that is Creating.
	Abandon(ctx context.Context, s Source) error
	// Remove makes an Active source Removing and deletes its webhook with its deliveries. event makes the event. It
	// returns whether there was a webhook. A source that is Removing is returned unchanged, without an event. Remove
	// returns fault.NotFound (ErrNoSource) if the app has no such source.
	Remove(ctx context.Context, by auth.Actor, accountID uuid.UUID, appID int64, id uuid.UUID,
		event func(Source) audit.Event) (s Source, received bool, err error)
	// Forget deletes a source that is Removing.
	Forget(ctx context.Context, s Source) error
	// Sources returns a page of the sources of each app that are Active or Removing, newest first.
	Sources(ctx context.Context, accountID uuid.UUID, appIDs []int64,
		w paging.Window) (map[int64]paging.Page[Source], error)
}

// Partner manages the partner event sources in Amazon EventBridge. Its errors are faults that are safe to show.
type Partner interface {
	// Create creates a partner event source in a region and returns its ARN. It returns fault.Conflict if there is one
	// with the name, and fault.Invalid if Amazon EventBridge refuses the request. After another error it may exist.
	Create(ctx context.Context, region, awsAccount, name string) (arn string, err error)
	// Delete deletes a partner event source. It returns nil if there is none.
	Delete(ctx context.Context, region, awsAccount, name string) error
}

// ErrNotConfigured is the error where the server has no access to Amazon EventBridge.
func ErrNotConfigured() *fault.Error {
	return fault.Errorf(fault.EventBridgeNotConfigured,
		"This server does not send events to Amazon EventBridge. Its operator can set that up with --aws-events.")
}

// ErrNoSource is the error for an event source that the app does not have. It does not reveal whether another app or
// account has it.
func ErrNoSource() *fault.Error {
	return fault.Errorf(fault.NotFound, "The app has no such event source.").On("id")
}
