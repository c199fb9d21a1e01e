package web

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// apiDocument describes the API for programs, in OpenAPI 3.1
// (https://spec.openapis.org/oas/v3.1.1). It is made of the table of
// operations and of the types that are really sent.
func (s *site) apiDocument(w http.ResponseWriter, _ *http.Request, _ []string) {
	keep(w)
	answer(w, http.StatusOK, openAPI())
}

type object = map[string]any

func openAPI() object {
	say := func(key string) string { return reference.Say(reference.Fallback, wordPrefix+key) }
	paths, schemas := object{}, object{}
	for _, o := range operations() {
		op := object{"operationId": o.name, "summary": say("api." + o.name)}
		var parameters []object
		for _, p := range o.parameters {
			parameters = append(parameters, object{
				"name": p.name, "in": p.in, "description": p.text, "example": p.example,
				"required": p.in == "path", "schema": parameterSchema(p),
			})
		}
		if parameters != nil {
			op["parameters"] = parameters
		}
		if o.request != nil {
			op["requestBody"] = object{"required": true, "content": object{
				"application/json": object{"schema": schemaOf(reflect.TypeOf(o.request), schemas)},
				"text/plain":       object{"schema": object{"type": "string"}},
			}}
		}
		body := object{"type": "object"}
		if o.response != nil {
			body = schemaOf(reflect.TypeOf(o.response), schemas)
		}
		responses := object{
			"200":     object{"description": "OK", "content": object{"application/json": object{"schema": body}}},
			"default": object{"description": "What was wrong and what to do", "content": object{"application/json": object{"schema": schemaOf(reflect.TypeOf(failure{}), schemas)}}},
			"429":     object{"description": "Too many requests", "headers": object{"Retry-After": object{"description": "Seconds to wait", "schema": object{"type": "integer"}}}, "content": object{"application/json": object{"schema": schemaOf(reflect.TypeOf(failure{}), schemas)}}},
		}
		op["responses"] = responses
		item, _ := paths["/"+o.path].(object)
		if item == nil {
			item = object{}
			paths["/"+o.path] = item
		}
		item[strings.ToLower(o.method)] = op
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Onward", "version": "1", "summary": say("api.lead"),
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":    []object{{"url": strings.TrimSuffix(apiPrefix, "/")}},
		"paths":      paths,
		"components": object{"schemas": schemas},
	}
}

func parameterSchema(p parameter) object {
	if p.name == "limit" {
		return object{"type": "integer", "minimum": 1, "maximum": maxHits, "default": apiHits}
	}
	return object{"type": "string"}
}

// schemaOf describes a type by JSON Schema; structs go to schemas by their
// names and are referred to.
func schemaOf(t reflect.Type, schemas object) object {
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), schemas)}
	case reflect.Array:
		return object{"type": "array", "items": schemaOf(t.Elem(), schemas), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Pointer:
		return schemaOf(t.Elem(), schemas)
	case reflect.Struct:
		name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
		if t.PkgPath() != reflect.TypeFor[site]().PkgPath() && name == "JSON" {
			name = "Explanation"
		}
		if _, known := schemas[name]; !known {
			properties, required := object{}, []string{}
			schemas[name] = object{} // for types that hold themselves
			for i := range t.NumField() {
				key, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
				if key == "" || key == "-" {
					continue
				}
				properties[key] = schemaOf(t.Field(i).Type, schemas)
				if !strings.Contains(options, "omitempty") {
					required = append(required, key)
				}
			}
			schemas[name] = object{"type": "object", "properties": properties, "required": required}
		}
		return object{"$ref": "#/components/schemas/" + name}
	default:
		return object{"type": "string"}
	}
}
