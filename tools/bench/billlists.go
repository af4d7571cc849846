package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

const listedBills = 50

const (
	subscriptionsDocument = `query($first: Int, $after: String) { account { subscriptions(first: $first, after: $after) {
		edges { cursor node { id accountId activationDate billingInterval createdAt currentPeriodEnd
			pricePerInterval { currencyCode value } product { id productLevel } scope { id } status updatedAt cancelledAt } } } } }`
	chargesDocument = `query($first: Int, $after: String) { account { charges(first: $first, after: $after) {
		edges { cursor node { id subscriptionId description amount { currencyCode value } kind status periodStart periodEnd createdAt
			invoiceId creditOf } } } } }`
)

// listBills lists a page of the first partner with a cached credential: those with the page's number, 1 for the newest.
func (s *suite) listBills(ctx context.Context, document, expected string, page int, d time.Duration) (measurement,
	error) {
	variables := map[string]any{"first": listedBills}
	if page > 1 {
		after, err := s.bills.lastBefore(page)
		if err != nil {
			return measurement{}, err
		}
		key := uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012x", after))
		variables["after"] = base64.RawURLEncoding.EncodeToString(key[:])
	}
	r, err := graphql(s.accounts[0], s.bills.reader, document, variables)
	if err != nil {
		return measurement{}, err
	}
	return wrk{url: s.bills.server.url, expected: expected}.run(ctx, s.dir, []request{r}, d)
}

// deepBills returns the number of a full page deep in the lists: 10,000, if the market is so large.
func (b *bills) deepBills() int {
	const ofFirst, of = 6, 10 // see partnerOf
	return min(deepPage, b.count/of*ofFirst/listedBills)
}

// lastBefore returns the number of the last row before a page of the first partner's charges.
func (b *bills) lastBefore(page int) (int, error) {
	left := (page - 1) * listedBills
	for n := b.count; n > 0; n-- {
		if partnerOf(n) == 0 {
			left--
		}
		if left == 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%d subscriptions have no page %d", b.count, page)
}

// The texts of a page of either list.
const (
	subscriptionListed = `"billingInterval":"MONTH"`
	chargeListed       = `"currencyCode":"USD"`
)

func (s *suite) subscriptions(ctx context.Context, d time.Duration) (measurement, error) {
	return s.listBills(ctx, subscriptionsDocument, subscriptionListed, 1, d)
}

func (s *suite) deepSubscriptions(ctx context.Context, d time.Duration) (measurement, error) {
	return s.listBills(ctx, subscriptionsDocument, subscriptionListed, s.bills.deepBills(), d)
}

func (s *suite) charges(ctx context.Context, d time.Duration) (measurement, error) {
	return s.listBills(ctx, chargesDocument, chargeListed, 1, d)
}

func (s *suite) deepCharges(ctx context.Context, d time.Duration) (measurement, error) {
	return s.listBills(ctx, chargesDocument, chargeListed, s.bills.deepBills(), d)
}

func (s *suite) handSubscriptions(ctx context.Context, d time.Duration) (measurement, error) {
	return s.handBills(ctx, "/subscriptions/", subscriptionListed, d)
}

func (s *suite) handCharges(ctx context.Context, d time.Duration) (measurement, error) {
	return s.handBills(ctx, "/charges/", chargeListed, d)
}

func (s *suite) handBills(ctx context.Context, path, expected string, d time.Duration) (measurement, error) {
	r := request{method: http.MethodGet, path: path + s.accounts[0].uuid}
	return wrk{url: s.bills.handURL, expected: expected}.run(ctx, s.dir, []request{r}, d)
}
