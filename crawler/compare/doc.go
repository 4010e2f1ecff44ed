// Package compare is pure judgement: observations and pages in, verdicts out. It opens no connection and no file, reads no
// clock, and gives the same verdicts for the same inputs, so that a stored check can be judged again offline.
//
// The order of thought (classification.md 2.5, DESIGN "Verdicts, classes, stages"):
//
//   - The article's own text decides. Where the reference's text is found in a page, that page is the article, whatever words
//     such as "blocked" or "seized" stand in it. Only a page whose text is not the article is given a page class.
//   - Same or different is containment of 5-word shingles; the gap between the two is wide, so the thresholds are not delicate.
//   - Altered or same is never a similarity: sentences are aligned, and what is left over is listed with its place in both texts.
//   - Rules and lists name what a page is; they never outweigh the text.
//
// Files: compare.go (Judge), reference.go (what the others are held against), text.go and align.go (sentences), changes.go (what
// kind of difference), classify.go and rules.go (page classes), lists.go (other people's lists), conclude.go (several vantages).
package compare
