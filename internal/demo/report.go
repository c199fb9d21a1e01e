package demo

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// humanPart is the part of a report that people read, decoded.
func humanPart(content string) string {
	m, err := mail.ReadMessage(strings.NewReader(content))
	if err != nil {
		return content
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return content
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		return content
	}
	raw, err := io.ReadAll(part)
	if err != nil {
		return content
	}
	var r io.Reader = bytes.NewReader(raw)
	switch strings.ToLower(part.Header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return string(raw)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
