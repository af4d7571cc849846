// Package promise has no code but tests, one for each promise that Latchkey
// makes to those who use it, held against the whole program as it is served,
// on both databases:
//
//   - A secret is shown once, and kept nowhere: TestASecretIsShownOnceAndKeptNowhere.
//     Besides, the database of every test of the whole suite is searched for
//     secrets when the test ends (package dbtest), and so is all that the suite
//     prints (tools/testsummary). A password is kept nowhere either:
//     TestAPasswordIsKeptNowhere.
//   - Once a revocation is answered it holds everywhere, within a bound:
//     TestARevocationHoldsEverywhere, and TestAReplicaThatCannotHearTrustsNothing.
//   - What was acknowledged survives a crash: TestKilled, of package cli, ends
//     the program and the database in the middle of their work. That racing
//     requests cannot pass the limit of tokens is TestLimitHoldsAmongReplicas
//     of package gormdb.
//   - Nobody acts outside their account, their stores or their scopes, and no
//     token makes a mightier one: TestNobodyActsOutsideTheirAccount,
//     TestNoTokenMakesAMightierOne and, over every chain of deeds,
//     TestNoChainYieldsMorePower of package token.
//   - Every change is in the audit log: TestEveryChangeIsAudited,
//     TestEveryChangeOfPeopleIsAudited; in the same
//     transaction: TestNoChangeWithoutItsEvent of package token.
package promise
