package dsn

import "strings"

// fallback is the language in which every sentence exists.
const fallback = "en"

// language returns the language of the sentences that fits a tag: "ja-JP" is
// "ja".
func language(tag string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	if _, ok := sentences[primary]; ok {
		return primary
	}
	return fallback
}

// say returns a sentence with its {placeholders} filled from pairs of name and
// value.
func say(lang, key string, pairs ...string) string {
	text, ok := sentences[lang][key]
	if !ok {
		text = sentences[fallback][key]
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// sentences are the texts of reports by language and key. A test holds that
// every language has every key with the same placeholders.
var sentences = map[string]map[string]string{
	"en": {
		"dsn.from": "Mail Delivery System",
		"dsn.date": "2 January 2006, 15:04 UTC",

		"dsn.subject.failed":    "Not delivered: {address}",
		"dsn.subject.delayed":   "Not delivered yet: {address}",
		"dsn.subject.delivered": "Delivered: {address}",
		"dsn.subject.relayed":   "Passed on: {address}",
		"dsn.subject.expanded":  "Delivered to a list: {address}",
		"dsn.subject.many":      "{address} and {more} more",

		"dsn.intro.failed":    "Your message could not be delivered to this address. It will not be tried again:",
		"dsn.intro.delayed":   "Your message has not reached this address yet. It is still being tried; you need not send it again:",
		"dsn.intro.delivered": "As you asked to be told: your message has been delivered to this address:",
		"dsn.intro.relayed":   "As you asked to be told: your message has been passed on to the next server for this address. That server does not report deliveries, so this is the last that you will hear from us:",
		"dsn.intro.expanded":  "As you asked to be told: your message has been delivered to this address, which is a list and sends it on to its members:",

		"dsn.forwarded.hidden":    "The message was forwarded, as the owner of this address has asked. The address that it went to is private and is not shown here.",
		"dsn.forwarded.disclosed": "The message was forwarded to {target}, as the owner of this address has asked.",

		"dsn.said.server":    "The server {server} answered:",
		"dsn.said.forwarded": "The server that it was forwarded to answered:",
		"dsn.said.unnamed":   "The other server answered:",
		"dsn.said.nothing":   "No answer came from another server.",
		"dsn.said.withheld":  "The server that it was forwarded to answered with code {code}. Its words are not shown, because they would tell the private address.",

		"dsn.means": "What this means:",
		"dsn.do":    "What you can do:",
		"dsn.who":   "Who can put it right:",

		"dsn.who.nobody":          "Nobody needs to do anything.",
		"dsn.who.sender":          "You can, as the sender.",
		"dsn.who.sender-admin":    "Whoever looks after the mail of your own domain. Please pass this report on to them.",
		"dsn.who.recipient":       "The person you wrote to. If you can reach them in another way, please tell them.",
		"dsn.who.recipient-admin": "Whoever looks after the mail server of the person you wrote to.",
		"dsn.who.operator":        "The operators of this server, {host}. Please write to postmaster@{host} and mention the reference below.",

		"dsn.until":     "We go on trying until {date}. If it has not been delivered by then, you will be told.",
		"dsn.last":      "Last tried: {date}",
		"dsn.status":    "Status code: {status}",
		"dsn.reference": "Our reference: {id}",

		"dsn.message":         "The message:",
		"dsn.message.subject": "Subject: {subject}",
		"dsn.message.date":    "Date: {date}",
		"dsn.message.arrival": "Accepted here: {date}",

		"dsn.footer.header":  "This report comes from the mail server {host}. Attached are the details for programs and the header of your message.",
		"dsn.footer.message": "This report comes from the mail server {host}. Attached are the details for programs and your message.",
		"dsn.footer.alone":   "This report comes from the mail server {host}. Attached are the details for programs.",
	},
	"ja": {
		"dsn.from": "メール配送システム",
		"dsn.date": "2006年1月2日 15:04 UTC",

		"dsn.subject.failed":    "配送できませんでした: {address}",
		"dsn.subject.delayed":   "まだ配送できていません: {address}",
		"dsn.subject.delivered": "配送しました: {address}",
		"dsn.subject.relayed":   "次のサーバーに引き渡しました: {address}",
		"dsn.subject.expanded":  "メーリングリストに配送しました: {address}",
		"dsn.subject.many":      "{address} ほか{more}件",

		"dsn.intro.failed":    "お送りいただいたメールを次の宛先に配送できませんでした。これ以上の配送は行いません。",
		"dsn.intro.delayed":   "お送りいただいたメールは、まだ次の宛先に届いていません。配送は続けておりますので、もう一度お送りいただく必要はありません。",
		"dsn.intro.delivered": "ご希望により、配送の完了をお知らせします。メールは次の宛先に届きました。",
		"dsn.intro.relayed":   "ご希望により、配送の状況をお知らせします。次の宛先へのメールを、次のサーバーに引き渡しました。そのサーバーは配送通知に対応していないため、当サーバーからのお知らせはこれが最後です。",
		"dsn.intro.expanded":  "ご希望により、配送の状況をお知らせします。メールは次の宛先に届きました。この宛先はメーリングリストで、ここから各メンバーに送られます。",

		"dsn.forwarded.hidden":    "このメールは、宛先の持ち主の希望により別のアドレスへ転送されました。転送先は非公開のため、ここには表示されません。",
		"dsn.forwarded.disclosed": "このメールは、宛先の持ち主の希望により {target} へ転送されました。",

		"dsn.said.server":    "サーバー {server} の応答:",
		"dsn.said.forwarded": "転送先のサーバーの応答:",
		"dsn.said.unnamed":   "相手のサーバーの応答:",
		"dsn.said.nothing":   "相手のサーバーからの応答はありませんでした。",
		"dsn.said.withheld":  "転送先のサーバーはコード {code} で応答しました。応答の文には非公開のアドレスが含まれるため、表示しません。",

		"dsn.means": "意味:",
		"dsn.do":    "できること:",
		"dsn.who":   "対応できる方:",

		"dsn.who.nobody":          "どなたも何もする必要はありません。",
		"dsn.who.sender":          "送信者であるあなたです。",
		"dsn.who.sender-admin":    "あなたのドメインのメールを管理している方です。この通知をその方にお渡しください。",
		"dsn.who.recipient":       "宛先の方です。ほかの方法で連絡が取れる場合は、お伝えください。",
		"dsn.who.recipient-admin": "宛先の方のメールサーバーを管理している方です。",
		"dsn.who.operator":        "当サーバー {host} の管理者です。下記の受付番号を添えて postmaster@{host} までご連絡ください。",

		"dsn.until":     "{date} まで配送を続けます。それまでに届かない場合は、あらためてお知らせします。",
		"dsn.last":      "最後に試みた日時: {date}",
		"dsn.status":    "ステータスコード: {status}",
		"dsn.reference": "受付番号: {id}",

		"dsn.message":         "お送りいただいたメール:",
		"dsn.message.subject": "件名: {subject}",
		"dsn.message.date":    "日付: {date}",
		"dsn.message.arrival": "受付日時: {date}",

		"dsn.footer.header":  "この通知はメールサーバー {host} が作成しました。プログラム向けの詳細と、お送りいただいたメールのヘッダーを添付しています。",
		"dsn.footer.message": "この通知はメールサーバー {host} が作成しました。プログラム向けの詳細と、お送りいただいたメールを添付しています。",
		"dsn.footer.alone":   "この通知はメールサーバー {host} が作成しました。プログラム向けの詳細を添付しています。",
	},
}
