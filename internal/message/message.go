// Package message reads the header section of a message and says how it is
// changed on its way.
//
// It promises that stored content is never altered: a [Header] is a view of
// the bytes it was given, field by field, folding included, and every change
// is an [Edit] in an [EditList] that is applied while the message is sent. The
// body is passed on untouched, so a DKIM signature that covers it stays good.
// The [HeaderScanner] reads a message as it streams in, in chunks of any size,
// with the same result as [ParseHeader] on the whole, and keeps no more than
// the header section. What is written anew (trace fields, dates, message
// identifiers, encoded text) is folded, and no argument can break out of its
// field.
//
// The header section ends at the first empty line. A line in it that is
// neither a field nor a continuation is kept as a field without a name, so
// that every octet stays where it was; content whose very first line is no
// field has no header section at all. The package does not read MIME structure
// and does not verify signatures. It has no clock and no source of randomness:
// the caller passes both.
//
// RFC 5322 (format), RFC 5321 §4.4 (trace), RFC 2047 (encoded words), RFC 3848
// (transmission types), RFC 6531 and RFC 6532 (internationalized mail),
// RFC 8314 §4.3 (TLS in trace).
package message

import "errors"

// Limits of the header section, in octets unless named otherwise.
const (
	// DefaultHeaderLimit is the largest header section that a scanner keeps if
	// it is not told another. RFC 5322 has no limit; large universities' and
	// providers' mail stays below 100 KB.
	DefaultHeaderLimit = 256 << 10
	// MaxHeaderLimit is the largest limit that a scanner takes, and the largest
	// stored header section that NewReader accepts.
	MaxHeaderLimit = 4 << 20
	// MaxFields is the largest number of fields in a header section.
	MaxFields = 5000
	// MaxReceived is the most Received fields that a message may have before it
	// is taken to be in a loop. RFC 5321 says «normally at least 100»; that is
	// decided against, because every further turn of a forwarding loop is paid
	// for by others, and real paths stay below 25.
	MaxReceived = 50 // rfc5321#6.3
	// MaxLine is the longest line without its CRLF.
	MaxLine = 998 // rfc5322#2.1.1
	// FoldAt is the line length, without CRLF, at which fields are folded.
	FoldAt = 78 // rfc5322#2.1.1
)

// Errors of this package. Each is wrapped with what was being done.
var (
	// ErrHeaderTooLarge says that the header section exceeds its limit in
	// octets or in fields.
	ErrHeaderTooLarge = errors.New("the header section is too large")
	// ErrEdit says that an edit is not well formed or names a field that does
	// not exist.
	ErrEdit = errors.New("not a valid header edit")
	// ErrEncoding says that bytes are not an encoded edit list.
	ErrEncoding = errors.New("not an encoded edit list")
	// ErrAddressList says that a field of addresses cannot be read.
	ErrAddressList = errors.New("not a valid list of addresses")
)
