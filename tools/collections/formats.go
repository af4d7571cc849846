package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

type object = map[string]any

// postman returns the collection in Postman's format 2.1.
func postman(all []folder) ([]byte, error) {
	items := []object{}
	for _, f := range all {
		requests := []object{}
		for _, r := range f.requests {
			requests = append(requests, postmanRequest(r))
		}
		items = append(items, object{"name": f.name, "description": f.about, "item": requests})
	}
	values := []object{}
	for _, v := range variables {
		values = append(values, object{"key": v.name, "value": v.value, "type": "string", "description": v.description})
	}
	return indented(object{
		"info": object{"_postman_id": "6d8c3a0e-1f4b-4c2a-9e57-0b2c1a6e6a7e", "name": "Latchkey", "description": about,
			"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
		"item": items, "variable": values,
	})
}

func postmanRequest(r request) object {
	headers := []object{}
	for _, h := range r.headers() {
		headers = append(headers, object{"key": h[0], "value": h[1]})
	}
	sent := object{"method": r.method(), "header": headers, "url": r.address(), "description": r.about}
	switch {
	case r.form != nil:
		fields := []object{}
		for _, f := range r.form {
			fields = append(fields, object{"key": f[0], "value": f[1], "type": "text"})
		}
		sent["body"] = object{"mode": "urlencoded", "urlencoded": fields}
	case r.query != "":
		sent["body"] = object{"mode": "graphql",
			"graphql": object{"query": tidy(r.query), "variables": tidy(r.variables)}}
	}
	return object{"name": r.name, "request": sent, "event": []object{{"listen": "test", "script": object{
		"type": "text/javascript", "exec": r.script("pm", "pm.collectionVariables.set")}}}}
}

func indented(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(value)
	return text.Bytes(), err
}

// insomniaFile is a collection in Insomnia's format 5. Fields are in the order
// in which Insomnia writes them.
type insomniaFile struct {
	Type          string            `yaml:"type"`
	SchemaVersion string            `yaml:"schema_version"`
	Name          string            `yaml:"name"`
	Meta          insomniaMeta      `yaml:"meta"`
	Collection    []insomniaFolder  `yaml:"collection"`
	CookieJar     insomniaNamed     `yaml:"cookieJar"`
	Environments  insomniaVariables `yaml:"environments"`
}

type insomniaMeta struct {
	ID          string `yaml:"id"`
	Description string `yaml:"description,omitempty"`
	SortKey     int    `yaml:"sortKey,omitempty"`
}

type insomniaNamed struct {
	Name string       `yaml:"name"`
	Meta insomniaMeta `yaml:"meta"`
}

type insomniaVariables struct {
	insomniaNamed `yaml:",inline"`

	Data map[string]string `yaml:"data"`
}

type insomniaFolder struct {
	insomniaNamed `yaml:",inline"`

	Children []insomniaRequest `yaml:"children"`
}

type insomniaRequest struct {
	URL           string `yaml:"url"`
	insomniaNamed `yaml:",inline"`

	Method  string            `yaml:"method"`
	Body    insomniaBody      `yaml:"body,omitempty"`
	Headers []insomniaField   `yaml:"headers,omitempty"`
	Scripts map[string]string `yaml:"scripts"`
}

type insomniaBody struct {
	MimeType string          `yaml:"mimeType"`
	Text     string          `yaml:"text,omitempty"`
	Params   []insomniaField `yaml:"params,omitempty"`
}

type insomniaField struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// insomnia returns the collection in Insomnia's format 5.
func insomnia(all []folder) ([]byte, error) {
	file := insomniaFile{
		Type: "collection.insomnia.rest/5.0", SchemaVersion: "5.1", Name: "Latchkey",
		Meta:      insomniaMeta{ID: "wrk_latchkey", Description: about},
		CookieJar: insomniaNamed{"Default Jar", insomniaMeta{ID: "jar_latchkey"}},
		Environments: insomniaVariables{insomniaNamed{"Base Environment", insomniaMeta{ID: "env_latchkey"}},
			map[string]string{}},
	}
	for i, f := range all {
		folder := insomniaFolder{insomniaNamed: insomniaNamed{f.name, insomniaMeta{
			ID: fmt.Sprintf("fld_latchkey_%02d", i+1), Description: f.about, SortKey: i + 1}}}
		for j, r := range f.requests {
			one, err := insomniaRequestOf(r)
			if err != nil {
				return nil, err
			}
			one.Meta = insomniaMeta{
				ID: fmt.Sprintf("req_latchkey_%02d%02d", i+1, j+1), Description: r.about, SortKey: j + 1,
			}
			folder.Children = append(folder.Children, one)
			for _, k := range r.keep {
				file.Environments.Data[k.variable] = ""
			}
		}
		file.Collection = append(file.Collection, folder)
	}
	for _, v := range variables {
		file.Environments.Data[v.name] = v.value
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	err := encoder.Encode(file)
	return text.Bytes(), err
}

func insomniaRequestOf(r request) (insomniaRequest, error) {
	one := insomniaRequest{URL: inInsomnia(r.address()), Method: r.method()}
	one.Name = r.name
	for _, h := range r.headers() {
		one.Headers = append(one.Headers, insomniaField{h[0], inInsomnia(h[1])})
	}
	switch {
	case r.form != nil:
		one.Body.MimeType = "application/x-www-form-urlencoded"
		for _, f := range r.form {
			one.Body.Params = append(one.Body.Params, insomniaField{f[0], inInsomnia(f[1])})
		}
	case r.query != "":
		one.Headers = append(one.Headers, insomniaField{"Content-Type", "application/json"})
		body := object{"query": tidy(r.query)}
		if r.variables != "" {
			body["variables"] = json.RawMessage(r.variables)
		}
		text, err := indented(body)
		if err != nil {
			return one, fmt.Errorf("%s: %w", r.name, err)
		}
		one.Body.MimeType, one.Body.Text = "application/graphql", strings.TrimSpace(inInsomnia(string(text)))
	}
	one.Scripts = map[string]string{"afterResponse": strings.Join(
		r.script("insomnia", "insomnia.baseEnvironment.set"), "\n")}
	return one, nil
}

// inInsomnia returns a text with variables as Insomnia writes them.
func inInsomnia(text string) string { return placeholder.ReplaceAllString(text, "{{ _.$1 }}") }
