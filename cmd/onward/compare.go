package main

import "github.com/onwardmail/onward/internal/reference"

// comparisonJSON is a comparison as programs get it.
type comparisonJSON struct {
	A           string           `json:"a"`
	B           string           `json:"b"`
	Language    string           `json:"language"`
	Known       bool             `json:"known"`
	Competing   bool             `json:"competing"`
	First       []string         `json:"first"`
	Differences []differenceJSON `json:"differences"`
	WhenA       string           `json:"when_a"`
	WhenB       string           `json:"when_b"`
	UseWhich    string           `json:"use_which"`
	Note        string           `json:"note"`
	Suggestions [][2]string      `json:"suggestions"`
}

type differenceJSON struct {
	Key    string `json:"key"`
	Aspect string `json:"aspect"`
	A      string `json:"a"`
	B      string `json:"b"`
	Same   bool   `json:"same"`
}

func comparison(c reference.Comparison) comparisonJSON {
	j := comparisonJSON{
		A: c.A, B: c.B, Language: c.Language, Known: c.Known, Competing: c.Competing, First: append([]string{}, c.First...),
		Differences: []differenceJSON{}, WhenA: c.WhenA, WhenB: c.WhenB, UseWhich: c.UseWhich, Note: c.Note,
		Suggestions: append([][2]string{}, c.Suggestions...),
	}
	for _, d := range c.Differences {
		j.Differences = append(j.Differences, differenceJSON(d))
	}
	return j
}
