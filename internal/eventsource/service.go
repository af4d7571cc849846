package eventsource

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// MaxPerAccount is the maximum number of event sources of an account.
const MaxPerAccount = 20

// Limits of a partner event source's name. Amazon EventBridge API Reference, CreatePartnerEventSource: "Request
// Parameters".
const maxPartnerName = 256

var (
	nameForm       = regexp.MustCompile(`^[.\-_A-Za-z0-9]+$`)
	awsAccountForm = regexp.MustCompile(`^[0-9]{12}$`)
)

// Apps finds apps; account.Service implements it.
type Apps interface {
	AppsByID(ctx context.Context, by *auth.Principal, ids []int64) (map[int64]account.App, error)
}

// Config is what a Service needs.
type Config struct {
	Repository Repository
	Apps       Apps
	// Partner is nil if the server does not send events to Amazon EventBridge.
	Partner Partner
	// Region is the region of new event sources, and PartnerName begins their names, as "aws.partner/example.com" does.
	Region      Region
	PartnerName string
	Now         clock.Clock
}

// Service creates, lists and deletes the event sources of the principal's account.
type Service struct{ c Config }

// NewService returns a service.
func NewService(c Config) *Service { return &Service{c} }

// Configured returns fault.EventBridgeNotConfigured if the server does not send events to Amazon EventBridge.
func (s *Service) Configured() error {
	if s.c.Partner == nil {
		return ErrNotConfigured()
	}
	return nil
}

// Request is an event source to create.
type Request struct {
	AppID            int64
	AWSAccount, Name string
	Region           Region
}

// Create creates an event source in Amazon EventBridge and records it. From then on it receives the account's events of
// the types that the principal may read. It returns fault.EventBridgeNotConfigured, fault.NotFound for an app that the
// account does not offer, fault.Invalid for all invalid fields, fault.Conflict if the app has a source with the name,
// and fault.LimitReached.
func (s *Service) Create(ctx context.Context, by *auth.Principal, r Request) (Source, error) {
	if err := s.Configured(); err != nil {
		return Source{}, err
	}
	app, err := s.app(ctx, by, r.AppID)
	if err != nil {
		return Source{}, err
	}
	source := Source{
		AccountID: by.AccountID, ID: uuid.Must(uuid.NewV7()), AppID: app.ID, AWSAccount: r.AWSAccount, Region: r.Region,
		PartnerName: s.c.PartnerName + "/" + strconv.FormatInt(app.ID, 10) + "/" + r.Name, State: Creating,
		CreatedAt: s.c.Now.Timestamp(),
	}
	if err := s.check(r, source); err != nil {
		return Source{}, err
	}
	left, err := s.c.Repository.Reserve(ctx, by.Actor(), source, MaxPerAccount, source.CreatedAt.Add(-CreatingFor))
	if err != nil {
		return Source{}, err
	}
	return s.create(ctx, by, app, source, left)
}

// create creates a reserved source in Amazon EventBridge. left is a source of the same name that is in the way there.
func (s *Service) create(ctx context.Context, by *auth.Principal, app account.App, source Source,
	left *Source) (Source, error) {
	if left != nil {
		if err := s.deletePartner(ctx, *left); err != nil {
			return Source{}, err
		}
	}
	arn, err := s.c.Partner.Create(ctx, source.Region.Name(), source.AWSAccount, source.PartnerName)
	switch fault.KindOf(err) {
	case "":
	case fault.Conflict, fault.Invalid, fault.LimitReached:
		// Nothing was created. The reservation that stays if it cannot be deleted gives way later.
		_ = s.c.Repository.Abandon(ctx, source)
		return Source{}, err
	default:
		return Source{}, err
	}
	source.ARN, source.State = arn, Active
	var hook *webhook.Webhook
	if types := receivable(by); len(types) > 0 {
		source.Receiving = true
		hook = &webhook.Webhook{
			AccountID: source.AccountID, ID: source.ID, Kind: webhook.EventBridge, URL: arn, Types: types,
			State: webhook.Enabled, CreatedAt: source.CreatedAt, CreatedBy: audit.ActorOf(by.Subject()),
		}
	}
	err = s.c.Repository.Confirm(ctx, by.Actor(), source, hook, s.event(by, audit.EventSourceCreated, app, source))
	if errors.Is(err, auth.ErrStale) {
		s.undo(ctx, source)
	}
	if err != nil {
		return Source{}, err
	}
	return source, nil
}

// undoTime limits undo.
const undoTime = 3 * time.Second

// undo deletes a source in Amazon EventBridge whose actor was refused after it was created. If that fails, its
// reservation stays, so that the next source with the name deletes it.
func (s *Service) undo(ctx context.Context, source Source) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if s.deletePartner(ctx, source) == nil {
		_ = s.c.Repository.Abandon(ctx, source)
	}
}

func (s *Service) deletePartner(ctx context.Context, source Source) error {
	return s.c.Partner.Delete(ctx, source.Region.Name(), source.AWSAccount, source.PartnerName)
}

// check returns all invalid fields of a request for the source.
func (s *Service) check(r Request, source Source) error {
	var faults fault.List
	if !awsAccountForm.MatchString(r.AWSAccount) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"The ID of an AWS account has twelve digits.").On("awsAccount"))
	}
	most := maxPartnerName - (len(source.PartnerName) - len(r.Name))
	if !nameForm.MatchString(r.Name) || len(r.Name) > most {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"The name of an event source has 1 to %d letters, digits, periods, hyphens and underscores.",
			most).On("eventSourceName"))
	}
	if r.Region != s.c.Region {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"This server creates event sources in %s only.", s.c.Region).On("eventSourceRegion"))
	}
	return faults.Err()
}

// app returns an app of the principal's account.
func (s *Service) app(ctx context.Context, by *auth.Principal, id int64) (account.App, error) {
	apps, err := s.c.Apps.AppsByID(ctx, by, []int64{id})
	if err != nil {
		return account.App{}, err
	}
	app, ok := apps[id]
	if !ok {
		return account.App{}, fault.Errorf(fault.NotFound, "There is no such app in this account.").On("appId")
	}
	return app, nil
}

// Delete stops sending events to an event source and deletes it in Amazon EventBridge and here. received reports
// whether events were sent to it until now. Delete returns fault.EventBridgeNotConfigured, and fault.NotFound for an
// app or event source that the account does not have. If Amazon EventBridge does not delete it, the source stays in the
// list without receiving events, and the call can be repeated.
func (s *Service) Delete(ctx context.Context, by *auth.Principal, appID int64, id uuid.UUID) (received bool,
	err error) {
	if err := s.Configured(); err != nil {
		return false, err
	}
	app, err := s.app(ctx, by, appID)
	if err != nil {
		return false, err
	}
	source, received, err := s.c.Repository.Remove(ctx, by.Actor(), by.AccountID, appID, id,
		func(source Source) audit.Event { return s.event(by, audit.EventSourceDeleted, app, source) })
	if err != nil {
		return false, err
	}
	if err := s.deletePartner(ctx, source); err != nil {
		return false, err
	}
	return received, s.c.Repository.Forget(ctx, source)
}

// Sources returns a page of each app's event sources, newest first. Apps of other accounts have none.
func (s *Service) Sources(ctx context.Context, by *auth.Principal, appIDs []int64,
	w paging.Window) (map[int64]paging.Page[Source], error) {
	return s.c.Repository.Sources(ctx, by.AccountID, appIDs, w)
}

func (s *Service) event(by *auth.Principal, action audit.Action, app account.App, source Source) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: source.AccountID, At: s.c.Now.Timestamp(),
		Actor: audit.ActorOf(by.Subject()), Action: action, RequestID: by.Origin.RequestID,
		Target:  audit.Target{Kind: audit.TargetApp, Key: strconv.FormatInt(app.ID, 10), Name: app.Name},
		Details: []audit.Detail{{Name: "arn", Value: source.ARN}, {Name: "awsAccount", Value: source.AWSAccount}},
	}
	if by.Origin.IP.IsValid() {
		e.IP = by.Origin.IP.String()
	}
	return e
}
