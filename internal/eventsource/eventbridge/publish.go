package eventbridge

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Publish sends one event with its JSON to the event source with the ARN. failure says in one line why it was not
// accepted, without details of the server's network and AWS account; it is empty if it was. status is the HTTP status
// of the answer, or 0 if there was none. gone reports whether there is no such event source.
func (c *Client) Publish(ctx context.Context, arn, eventType string, at time.Time, detail []byte) (status int,
	failure string, gone bool) {
	region, source, err := splitARN(arn)
	if err != nil {
		return 0, "the URL is not the ARN of an event source", true
	}
	text := string(detail)
	sent, err := c.service.PutPartnerEvents(ctx, &eventbridge.PutPartnerEventsInput{
		Entries: []types.PutPartnerEventsRequestEntry{{Source: &source, DetailType: &eventType, Detail: &text,
			Time: &at}},
	}, in(region))
	switch code, status := codeOf(err), statusOf(err); {
	case err == nil:
	case code != "":
		return status, answer(code), isNotFound(code)
	case status != 0:
		return status, "the answer of Amazon EventBridge could not be read", false
	case ctx.Err() != nil:
		return 0, "no complete answer of Amazon EventBridge in time", false
	default:
		return 0, "Amazon EventBridge could not be reached", false
	}
	// One entry can fail although the request succeeds.
	if len(sent.Entries) != 1 {
		return ok, "the answer of Amazon EventBridge has no result for the event", false
	}
	if code := sent.Entries[0].ErrorCode; code != nil {
		return ok, answer(*code), isNotFound(*code)
	}
	if sent.FailedEntryCount > 0 {
		return ok, "Amazon EventBridge did not accept the event", false
	}
	return ok, "", false
}

// statusOf returns the HTTP status of the answer that an error is about, or 0 if there was none.
func statusOf(err error) int {
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.Response != nil {
		return answered.HTTPStatusCode()
	}
	return 0
}

// ok is the status of an answer without an error.
const ok = 200

// answer describes an error code of the service.
func answer(code string) string {
	const longest = 100
	for i := range len(code) {
		if c := code[i]; i == longest || c < '!' || c > '~' {
			return "Amazon EventBridge refused the event"
		}
	}
	return "Amazon EventBridge answered " + code
}
