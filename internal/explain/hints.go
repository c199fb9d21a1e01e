package explain

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/reference"
)

// BlockList is a list that a reply names.
type BlockList struct {
	Name string `json:"name"`
	// Lookup is the page where one looks up why an address is listed, "" if it is
	// not known.
	Lookup string `json:"lookup"`
}

// blockLists are known by what a reply says of them, in lower case. The first
// that fits counts.
var blockLists = [...]struct{ contains, name, lookup string }{
	{"dbl.spamhaus", "Spamhaus DBL", "https://check.spamhaus.org/"},
	{"pbl.spamhaus", "Spamhaus PBL", "https://check.spamhaus.org/"},
	{"sbl-xbl.spamhaus", "Spamhaus ZEN", "https://check.spamhaus.org/"},
	{"sbl.spamhaus", "Spamhaus SBL", "https://check.spamhaus.org/"},
	{"xbl.spamhaus", "Spamhaus XBL", "https://check.spamhaus.org/"},
	{"zen.spamhaus", "Spamhaus ZEN", "https://check.spamhaus.org/"},
	{"spamhaus", "Spamhaus", "https://check.spamhaus.org/"},
	{"spamcop", "SpamCop", "https://www.spamcop.net/bl.shtml"},
	{"barracuda", "Barracuda Reputation Block List", "https://www.barracudacentral.org/lookups"},
	{"sorbs", "SORBS", ""},
	{"uceprotect", "UCEPROTECT", "https://www.uceprotect.net/en/rblcheck.php"},
	{"psbl.surriel", "PSBL", "https://psbl.org/"},
	{"abusix", "Abusix Mail Intelligence", "https://lookup.abusix.com/"},
	{"invaluement", "Invaluement", "https://www.invaluement.com/lookup/"},
	{"surbl", "SURBL", "https://surbl.org/surbl-analysis"},
	{"uribl", "URIBL", "https://lookup.uribl.com/"},
	{"spamrats", "SpamRATS", "https://spamrats.com/lookup.php"},
	{"csi.cloudmark", "Cloudmark CSI", "https://csi.cloudmark.com/en/reset/"},
	{"cloudmark", "Cloudmark", "https://csi.cloudmark.com/en/reset/"},
	{"ipcheck.proofpoint", "Proofpoint Dynamic Reputation", "https://ipcheck.proofpoint.com/"},
	{"prs.proofpoint", "Proofpoint Dynamic Reputation", "https://ipcheck.proofpoint.com/"},
	{"mail-abuse.com", "Trend Micro ERS", "https://servicecentral.trendmicro.com/"},
	{"trendmicro.com", "Trend Micro ERS", "https://servicecentral.trendmicro.com/"},
	{"senderbase", "Cisco Talos", "https://talosintelligence.com/"},
	{"talosintelligence", "Cisco Talos", "https://talosintelligence.com/"},
	{"manitu.net", "NiX Spam", ""},
	{"nixspam", "NiX Spam", ""},
	{"mailspike", "Mailspike", "https://mailspike.org/iplookup.html"},
	{"gbudb", "GBUdb Truncate", ""},
	{"junkemailfilter", "Hostkarma", ""},
	{"hostkarma", "Hostkarma", ""},
	{"backscatterer", "Backscatterer", "https://www.backscatterer.org/"},
	{"dnsbl.dronebl", "DroneBL", "https://dronebl.org/lookup"},
	{"efnetrbl", "EFnet RBL", ""},
	{"spfbl", "SPFBL", "https://spfbl.net/en/dnsbl/"},
	{"0spam", "0spam", "https://0spam.org/"},
	{"blocklist.de", "blocklist.de", "https://www.blocklist.de/en/search.html"},
	{"s5h.net", "all.s5h.net", "https://www.usenix.org.uk/content/rbl.html"},
	{"kundenserver.de/blacklist", "IONOS", ""},
	{"sender.office.com", "Microsoft's block list", "https://sender.office.com/"},
	{"delist.messaging.microsoft", "Microsoft's block list", "https://sender.office.com/"},
	{"s3140", "Microsoft's block list", "https://olcsupport.office.com/"},
	{"s3150", "Microsoft's block list", "https://olcsupport.office.com/"},
	{"fblw15", "Microsoft's block list", "https://sender.office.com/"},
	{"ipremoval.sms.symantec", "Symantec IP reputation", "https://ipremoval.sms.symantec.com/"},
	{"sophos.com", "Sophos", ""},
}

// patterns are compiled when the first text is looked at for them.
var patterns = sync.OnceValue(func() struct{ zone, wait, clock *regexp.Regexp } {
	return struct{ zone, wait, clock *regexp.Regexp }{
		zone:  regexp.MustCompile(`(?:blocked using|listed (?:in|on|at|by)|blacklisted (?:in|on|at|by)|found (?:in|on)) (?:the )?((?:[a-z0-9-]+\.){1,5}[a-z]{2,})`),
		wait:  regexp.MustCompile(`(?:in|after|for|wait|within|again|greylist\w*|graylist\w*|retry[- ]?(?:in|after)?:?|delay(?:ed)?)\s*(?:approximately |about |at least |another |the next )?(\d{1,6})\s*(s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours|d|day|days)\b`),
		clock: regexp.MustCompile(`(?:in|after|for|wait)\s+(\d{1,2}):(\d{2}):(\d{2})\b`),
	}
})

// BlockList returns the block list that the reply names, if it refuses because
// of one.
func (e Explanation) BlockList() (BlockList, bool) {
	switch e.Reason {
	case "blocklisted_ip", "blocklisted_domain", "blocklist_misuse", "reputation_low", "content_spam", "policy_rejected", "rate_limited":
	default:
		return BlockList{}, false
	}
	text := strings.ToLower(e.Text)
	for _, l := range blockLists {
		if strings.Contains(text, l.contains) {
			return BlockList{l.name, l.lookup}, true
		}
	}
	if m := patterns().zone.FindStringSubmatch(text); m != nil {
		return BlockList{Name: m[1]}, true
	}
	return BlockList{}, false
}

// Wait says in words how long the text asks to wait, "" if it does not say:
// whole days, hours or minutes if it comes to such, else seconds.
func (e Explanation) Wait(lang string) string {
	wait := e.RetryAfter()
	if wait == 0 {
		return ""
	}
	for _, unit := range [...]struct {
		length time.Duration
		key    string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if wait%unit.length == 0 {
			return reference.Count(lang, "wait."+unit.key, int(wait/unit.length))
		}
	}
	return reference.Count(lang, "wait.seconds", int(wait/time.Second))
}

// maxWait is the longest wait that is believed.
const maxWait = 14 * 24 * time.Hour

// RetryAfter returns how long the text asks to wait, 0 if it does not say.
func (e Explanation) RetryAfter() time.Duration {
	if e.Class == Positive || !strings.ContainsAny(e.Text, "0123456789") {
		return 0
	}
	text := strings.ToLower(e.Text)
	if m := patterns().wait.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		unit := time.Second
		switch m[2][0] {
		case 'm':
			unit = time.Minute
		case 'h':
			unit = time.Hour
		case 'd':
			unit = 24 * time.Hour
		}
		if err == nil && n > 0 && n <= int(maxWait/unit) {
			return time.Duration(n) * unit
		}
	}
	if m := patterns().clock.FindStringSubmatch(text); m != nil {
		hours, _ := strconv.Atoi(m[1])
		minutes, _ := strconv.Atoi(m[2])
		seconds, _ := strconv.Atoi(m[3])
		if wait := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second; wait <= maxWait {
			return wait
		}
	}
	return 0
}
