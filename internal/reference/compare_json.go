package reference

// ComparisonJSON is a comparison as programs get it: the field names are stable.
type ComparisonJSON struct {
	A              string           `json:"a"`
	B              string           `json:"b"`
	Language       string           `json:"language"`
	Known          bool             `json:"known"`
	Competing      bool             `json:"competing"`
	First          []string         `json:"first"`
	Differences    []DifferenceJSON `json:"differences"`
	WhenA          string           `json:"when_a"`
	WhenB          string           `json:"when_b"`
	UseWhich       string           `json:"use_which"`
	Note           string           `json:"note"`
	Suggestions    [][2]string      `json:"suggestions"`
	NameA          string           `json:"name_a"`
	NameB          string           `json:"name_b"`
	Relation       Relation         `json:"relation"`
	KeyDifferences []string         `json:"key_differences"`
}

// DifferenceJSON is one row of the differences.
type DifferenceJSON struct {
	Key    string `json:"key"`
	Aspect string `json:"aspect"`
	A      string `json:"a"`
	B      string `json:"b"`
	Same   bool   `json:"same"`
}

// JSON returns c as programs get it: lists are never null.
func (c Comparison) JSON() ComparisonJSON {
	j := ComparisonJSON{
		A: c.A, B: c.B, Language: c.Language, Known: c.Known, NameA: c.NameA, NameB: c.NameB,
		Relation: c.Relation, Competing: c.Competing,
		First: append([]string{}, c.First...), KeyDifferences: append([]string{}, c.KeyDifferences...),
		Differences: []DifferenceJSON{}, WhenA: c.WhenA, WhenB: c.WhenB, UseWhich: c.UseWhich, Note: c.Note,
		Suggestions: append([][2]string{}, c.Suggestions...),
	}
	for _, d := range c.Differences {
		j.Differences = append(j.Differences, DifferenceJSON(d))
	}
	return j
}
