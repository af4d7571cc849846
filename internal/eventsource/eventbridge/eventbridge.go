// Package eventbridge is the client of Amazon EventBridge for its partners: it creates and deletes partner event
// sources and sends events to them.
//
// Events are sent with PutPartnerEvents, which "is used by SaaS partners to write events to a customer's partner event
// bus" (Amazon EventBridge API Reference, PutPartnerEvents). PutEvents is for the custom events of an account's own
// applications on its own event buses.
package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/smithy-go"

	"latchkey/internal/eventsource"
	"latchkey/internal/fault"
)

// Timeout is the time limit of Create and of Delete.
const Timeout = 3 * time.Second

// Client is a client of Amazon EventBridge. It is safe for concurrent use.
type Client struct{ service *eventbridge.Client }

var _ eventsource.Partner = (*Client)(nil)

// New returns a client with the credentials of the AWS SDK's default chain: variables, shared files, or the role of the
// machine or container. They are read when they are first needed. endpoint replaces the service's own endpoint unless
// it is empty. New returns an error if the configuration in variables or shared files is not valid.
func New(ctx context.Context, region eventsource.Region, endpoint string) (*Client, error) {
	loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(region.Name()))
	if err != nil {
		return nil, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	return &Client{eventbridge.NewFromConfig(loaded, func(o *eventbridge.Options) {
		// A delivery is retried by its own schedule, and every request is recorded as an attempt.
		o.Retryer = aws.NopRetryer{}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})}, nil
}

// in makes a request go to a region.
func in(region string) func(*eventbridge.Options) {
	return func(o *eventbridge.Options) { o.Region = region }
}

// Create implements eventsource.Partner.
func (c *Client) Create(ctx context.Context, region, awsAccount, name string) (arn string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	created, err := c.service.CreatePartnerEventSource(ctx,
		&eventbridge.CreatePartnerEventSourceInput{Account: &awsAccount, Name: &name}, in(region))
	if err != nil {
		return "", refusal(err)
	}
	arn = aws.ToString(created.EventSourceArn)
	if _, _, err := splitARN(arn); err != nil {
		return "", err
	}
	return arn, nil
}

// Delete implements eventsource.Partner.
func (c *Client) Delete(ctx context.Context, region, awsAccount, name string) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	_, err := c.service.DeletePartnerEventSource(ctx,
		&eventbridge.DeletePartnerEventSourceInput{Account: &awsAccount, Name: &name}, in(region))
	if err == nil || isNotFound(codeOf(err)) {
		return nil
	}
	return refusal(err)
}

// refusal returns the fault for an error of Create or Delete. Its text does not repeat the service's, which can name
// the server's own AWS account.
func refusal(err error) error {
	switch codeOf(err) {
	case "ResourceAlreadyExistsException":
		return fault.Wrap(err, fault.Conflict,
			"Amazon EventBridge has an event source with this name already.").On("eventSourceName")
	case "LimitExceededException":
		return fault.Wrap(err, fault.LimitReached, "Amazon EventBridge creates no more event sources for this server.")
	case "ValidationException", "InvalidParameterValue":
		return fault.Wrap(err, fault.Invalid, "Amazon EventBridge refuses this AWS account or name.").On("awsAccount")
	}
	return fault.Wrap(err, fault.Internal,
		"Amazon EventBridge did not confirm the change. Try again in %s.", eventsource.CreatingFor)
}

// codeOf returns the error code in the service's answer, or "" if there was no answer with one.
func codeOf(err error) string {
	var answered smithy.APIError
	if errors.As(err, &answered) {
		return answered.ErrorCode()
	}
	return ""
}

// isNotFound reports whether the code says that there is no such event source. The API Reference lists no such code for
// the entries of PutPartnerEvents, so the forms with and without the suffix of an exception count.
func isNotFound(code string) bool {
	return code == "ResourceNotFoundException" || code == "ResourceNotFound"
}

// splitARN returns the region and the name in the ARN of a partner event source:
// arn:PARTITION:events:REGION::event-source/NAME.
func splitARN(arn string) (region, name string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && parts[2] == "events" && parts[3] != "" {
		if name, ok := strings.CutPrefix(parts[5], "event-source/"); ok && name != "" {
			return parts[3], name, nil
		}
	}
	return "", "", fmt.Errorf("this is not the ARN of an event source: %s", url.QueryEscape(arn))
}
