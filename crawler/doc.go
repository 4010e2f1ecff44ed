// Package crawler runs a Check of an article over all mirrors and vantages, and a Run of many Checks.
//
// colly is the fetch-and-callback shell, used as crawler/wire needs it: synchronous, one Clone per request, its scheduler,
// limits, cookies, redirects, robots and retries never. What decides lies here: who is asked, when, how often, which hop is
// followed, what is a failure of the mirror and what is our own. The bytes go from the transport to the Sink before colly
// sees them; the meaning comes from crawler/compare, which sees values only.
//
// The path of one Check:
//
//	article, mirrors, vantages
//	  -> visits (redirects hop by hop, retries, canary before and after a failure)   visit.go, chain.go, canary.go
//	  -> decoys: what the mirror answers to anything                                  decoy.go
//	  -> requisites of the page, as a Snapshot                                        requisites.go
//	  -> compare.Judge, a second look at what seems altered                           check.go
//	  -> notes in the archive, then Config.Done                                       check.go, run.go
package crawler
