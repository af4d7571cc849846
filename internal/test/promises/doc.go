// Package promises contains only tests, one for each of Latchkey's security
// promises (docs/promises.md). They run the whole program on both
// databases:
//
//   - A secret is shown once and never stored: TestASecretIsShownOnceAndNeverStored.
//     In addition, every test database is searched for secrets when its test
//     ends (package dbtest), and so is the output of the test suite
//     (tools/testsummary). A password is never stored either:
//     TestAPasswordIsNeverStored.
//   - Once a revocation is answered, every server honors it within a bound:
//     TestARevocationReachesEveryServer and TestAReplicaWithoutAFeedIgnoresItsCache.
//   - An acknowledged write survives a crash: TestKilled in package cli kills
//     the program and the database while they work. Concurrent requests cannot
//     exceed the token limit: TestLimitHoldsAmongReplicas in package gormdb.
//   - No actor reaches beyond its account, stores and scopes, and no token
//     creates a more powerful one: TestCredentialWorksOnlyInItsAccount,
//     TestNoTokenIssuesMoreRightsThanItsOwn and, over every sequence of actions,
//     TestNoChainYieldsMorePower in package token.
//   - Every change is in the audit log: TestEveryChangeIsAudited and
//     TestEveryChangeOfUsersIsAudited. The event is written in the same
//     transaction: TestNoChangeWithoutItsEvent in package token.
//
// TestEveryFieldOfATokenIsShown is not about a promise. It needs the whole
// program as well: it holds the recipe for a new field (CONTRIBUTING.md).
package promises
