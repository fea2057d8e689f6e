// Package lint answers one question: does the code keep the rules of the
// house?
//
// It is tests only. They load the whole module with types and fail where a
// rule is broken: which package may import which, what may not happen while
// packets are moved, how long files and functions may be. Each rule is tried
// on code that breaks it as well. Maturity: stable.
package lint
