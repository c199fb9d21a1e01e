package web

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// apiView tells people what programs may ask for; it is made of the same table
// as the API itself.
type apiView struct {
	*page
	Limits     string
	Operations []operationView
}

type operationView struct {
	Name, Method, Path, Text, Example string
	Parameters                        []parameterView
	Fields                            []string
}

type parameterView struct{ Name, Text string }

func (s *site) apiView(p *page) *apiView {
	p.Section, p.Title, p.Description = "api", p.T("api.title")+" · Onward", p.T("api.lead")
	v := &apiView{page: p, Limits: p.T("api.limits",
		"kilobytes", strconv.Itoa(maxBody>>10), "burst", strconv.Itoa(apiBurst), "rate", strconv.Itoa(apiPerSecond))}
	for _, o := range operations() {
		view := operationView{Name: o.name, Method: o.method, Path: apiPrefix + o.path, Text: p.T("api." + o.name)}
		path, query := view.Path, []string{}
		for _, q := range o.parameters {
			view.Parameters = append(view.Parameters, parameterView{q.name, q.text})
			if q.in == "path" {
				path = strings.ReplaceAll(path, "{"+q.name+"}", q.example)
			} else {
				query = append(query, q.name+"="+strings.ReplaceAll(q.example, " ", "+"))
			}
		}
		if len(query) > 0 {
			path += "?" + strings.Join(query, "&")
		}
		view.Example = "curl 'https://" + s.host + path + "'"
		if o.method == http.MethodPost {
			view.Example += " \\\n  --json '{\"line\": \"550 5.1.1 no such user\"}'"
		}
		if o.response != nil {
			t := reflect.TypeOf(o.response)
			for i := range t.NumField() {
				name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
				view.Fields = append(view.Fields, name)
			}
		}
		v.Operations = append(v.Operations, view)
	}
	return v
}
