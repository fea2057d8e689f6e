// Package docs answers one question: is what the documents say still so?
//
// It holds the pages and the tests that compare them with the code. Maturity:
// stable.
package docs

//go:generate go run ../internal/graphdot/draw graph.dot
//go:generate dot -Tsvg -o graph.svg graph.dot
