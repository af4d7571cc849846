package cli

import (
	"context"

	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/eventsource"
	"latchkey/internal/eventsource/eventbridge"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
)

// newEventSources returns the service of event sources. It also sets b.publisher if Amazon EventBridge is configured.
func newEventSources(ctx context.Context, b *backend) (*eventsource.Service, error) {
	region := eventsource.RegionNamed(b.cfg.EventBridge.Region)
	c := eventsource.Config{
		Repository: gormdb.EventSources(b.db), Apps: b.accounts, Region: region, PartnerName: b.cfg.EventBridge.Partner,
		Now: clock.System,
	}
	if region != "" {
		client, err := eventbridge.New(ctx, region, b.cfg.EventBridge.URL)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "%s", err.Error()).On(config.Called("aws-events"))
		}
		c.Partner, b.publisher = client, client
	}
	return eventsource.NewService(c), nil
}
