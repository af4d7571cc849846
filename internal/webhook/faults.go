package webhook

import "latchkey/internal/fault"

// ErrNoWebhook is the error for an ID without a webhook.
func ErrNoWebhook() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such webhook in this account.").On("id")
}

// ErrDisabled is the error of a replay to a webhook that is disabled.
func ErrDisabled() *fault.Error {
	return fault.Errorf(fault.Conflict, "This webhook is disabled. Enable it first.").On("webhookId")
}

// ErrReplaying is the error of a replay of a time range while another one of the account is being scheduled.
func ErrReplaying() *fault.Error {
	return fault.Errorf(fault.Conflict,
		"Another replay of this account is being scheduled. Send this one again in a few seconds.")
}

// ErrNoEvent is the error for an ID of an event that cannot be delivered to the webhook: the account has none with the
// ID, or the webhook's types do not select it and it was never delivered to the webhook.
func ErrNoEvent() *fault.Error {
	return fault.Errorf(fault.NotFound,
		"There is no such event in this account that the webhook receives.").On("eventIds")
}
