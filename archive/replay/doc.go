// Package replay shows archived pages in a browser, on an origin where they can do no harm.
//
// Addresses follow what web archives use: /web/TIMESTAMP[modifier]/URL is a memento (RFC 7089), /web/URL its TimeGate,
// /web/timemap/link/URL its TimeMap, /web/*/URL the list of captures. /snapshot/TIME.ID[modifier]/URL shows a snapshot with
// exactly the requisites it was captured with; what it lacks is filled only by the rule of DESIGN section 6, and marked.
// /beside/TIME/URL shows one article as its mirrors served it, side by side.
//
// Everything archived is hostile. Pages keep their octets but for the places that name URLs; every answer with archived
// content carries a policy under which no script runs, nothing is asked of another host and nothing is stored; no operator's
// page is served here. Verdicts come from history, handed in as Judgements.
package replay
