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
	"de": {
		"dsn.from":                "E-Mail-Zustelldienst",
		"dsn.date":                "2.1.2006, 15:04 UTC",
		"dsn.subject.failed":      "Nicht zugestellt: {address}",
		"dsn.subject.delayed":     "Noch nicht zugestellt: {address}",
		"dsn.subject.delivered":   "Zugestellt: {address}",
		"dsn.subject.relayed":     "Weitergegeben: {address}",
		"dsn.subject.expanded":    "An eine Liste zugestellt: {address}",
		"dsn.subject.many":        "{address} und {more} weitere",
		"dsn.intro.failed":        "Ihre Nachricht konnte an diese Adresse nicht zugestellt werden. Es wird nicht noch einmal versucht:",
		"dsn.intro.delayed":       "Ihre Nachricht hat diese Adresse noch nicht erreicht. Es wird weiter versucht; Sie brauchen sie nicht noch einmal zu senden:",
		"dsn.intro.delivered":     "Sie wollten benachrichtigt werden: Ihre Nachricht wurde an diese Adresse zugestellt:",
		"dsn.intro.relayed":       "Sie wollten benachrichtigt werden: Ihre Nachricht wurde für diese Adresse dem nächsten Server übergeben. Jener Server meldet keine Zustellungen; dies ist also das Letzte, was Sie von uns hören:",
		"dsn.intro.expanded":      "Sie wollten benachrichtigt werden: Ihre Nachricht wurde an diese Adresse zugestellt; sie ist eine Liste und sendet sie an ihre Mitglieder weiter:",
		"dsn.forwarded.hidden":    "Die Nachricht wurde weitergeleitet, wie der Inhaber dieser Adresse es wünscht. Die Adresse, an die sie ging, ist privat und wird hier nicht gezeigt.",
		"dsn.forwarded.disclosed": "Die Nachricht wurde an {target} weitergeleitet, wie der Inhaber dieser Adresse es wünscht.",
		"dsn.said.server":         "Der Server {server} antwortete:",
		"dsn.said.forwarded":      "Der Server, an den sie weitergeleitet wurde, antwortete:",
		"dsn.said.unnamed":        "Der andere Server antwortete:",
		"dsn.said.nothing":        "Von einem anderen Server kam keine Antwort.",
		"dsn.said.withheld":       "Der Server, an den sie weitergeleitet wurde, antwortete mit dem Code {code}. Seine Worte werden nicht gezeigt, weil sie die private Adresse verraten würden.",
		"dsn.means":               "Was das bedeutet:",
		"dsn.do":                  "Was Sie tun können:",
		"dsn.who":                 "Wer es in Ordnung bringen kann:",
		"dsn.who.nobody":          "Niemand braucht etwas zu tun.",
		"dsn.who.sender":          "Sie als Absender.",
		"dsn.who.sender-admin":    "Wer die Mail Ihrer eigenen Domain betreut. Bitte geben Sie diesen Bericht dorthin weiter.",
		"dsn.who.recipient":       "Die Person, der Sie geschrieben haben. Wenn Sie sie auf anderem Weg erreichen, sagen Sie es ihr bitte.",
		"dsn.who.recipient-admin": "Wer den Mailserver der Person betreut, der Sie geschrieben haben.",
		"dsn.who.operator":        "Die Betreiber dieses Servers, {host}. Bitte schreiben Sie an postmaster@{host}, und nennen Sie das Zeichen unten.",
		"dsn.until":               "Wir versuchen es bis {date} weiter. Ist die Nachricht bis dahin nicht zugestellt, erfahren Sie es.",
		"dsn.last":                "Zuletzt versucht: {date}",
		"dsn.status":              "Statuscode: {status}",
		"dsn.reference":           "Unser Zeichen: {id}",
		"dsn.message":             "Die Nachricht:",
		"dsn.message.subject":     "Betreff: {subject}",
		"dsn.message.date":        "Datum: {date}",
		"dsn.message.arrival":     "Hier angenommen: {date}",
		"dsn.footer.header":       "Dieser Bericht kommt vom Mailserver {host}. Angehängt sind die Einzelheiten für Programme und der Kopf Ihrer Nachricht.",
		"dsn.footer.message":      "Dieser Bericht kommt vom Mailserver {host}. Angehängt sind die Einzelheiten für Programme und Ihre Nachricht.",
		"dsn.footer.alone":        "Dieser Bericht kommt vom Mailserver {host}. Angehängt sind die Einzelheiten für Programme.",
	},
	"es": {
		"dsn.from":                "Sistema de entrega de correo",
		"dsn.date":                "2/1/2006, 15:04 UTC",
		"dsn.subject.failed":      "No entregado: {address}",
		"dsn.subject.delayed":     "Aún no entregado: {address}",
		"dsn.subject.delivered":   "Entregado: {address}",
		"dsn.subject.relayed":     "Pasado al siguiente servidor: {address}",
		"dsn.subject.expanded":    "Entregado a una lista: {address}",
		"dsn.subject.many":        "{address} y {more} más",
		"dsn.intro.failed":        "Su mensaje no se ha podido entregar en esta dirección. No se volverá a intentar:",
		"dsn.intro.delayed":       "Su mensaje aún no ha llegado a esta dirección. Se sigue intentando; no hace falta que lo envíe de nuevo:",
		"dsn.intro.delivered":     "Como pidió que se le avisara: su mensaje se ha entregado en esta dirección:",
		"dsn.intro.relayed":       "Como pidió que se le avisara: su mensaje para esta dirección se ha pasado al siguiente servidor. Ese servidor no informa de las entregas, así que esto es lo último que sabrá por nosotros:",
		"dsn.intro.expanded":      "Como pidió que se le avisara: su mensaje se ha entregado en esta dirección, que es una lista y lo reenvía a sus miembros:",
		"dsn.forwarded.hidden":    "El mensaje se reenvió, como ha pedido el titular de esta dirección. La dirección de destino es privada y no se muestra aquí.",
		"dsn.forwarded.disclosed": "El mensaje se reenvió a {target}, como ha pedido el titular de esta dirección.",
		"dsn.said.server":         "El servidor {server} respondió:",
		"dsn.said.forwarded":      "El servidor al que se reenvió respondió:",
		"dsn.said.unnamed":        "El otro servidor respondió:",
		"dsn.said.nothing":        "No llegó ninguna respuesta de otro servidor.",
		"dsn.said.withheld":       "El servidor al que se reenvió respondió con el código {code}. Sus palabras no se muestran porque revelarían la dirección privada.",
		"dsn.means":               "Qué significa:",
		"dsn.do":                  "Qué puede hacer:",
		"dsn.who":                 "Quién puede arreglarlo:",
		"dsn.who.nobody":          "Nadie tiene que hacer nada.",
		"dsn.who.sender":          "Usted, como remitente.",
		"dsn.who.sender-admin":    "Quien administre el correo de su propio dominio. Pásele este informe, por favor.",
		"dsn.who.recipient":       "La persona a la que escribió. Si puede contactar con ella por otra vía, avísele, por favor.",
		"dsn.who.recipient-admin": "Quien administre el servidor de correo de la persona a la que escribió.",
		"dsn.who.operator":        "Los responsables de este servidor, {host}. Escriba a postmaster@{host} e indique la referencia de abajo, por favor.",
		"dsn.until":               "Seguiremos intentándolo hasta el {date}. Si para entonces no se ha entregado, se le avisará.",
		"dsn.last":                "Último intento: {date}",
		"dsn.status":              "Código de estado: {status}",
		"dsn.reference":           "Nuestra referencia: {id}",
		"dsn.message":             "El mensaje:",
		"dsn.message.subject":     "Asunto: {subject}",
		"dsn.message.date":        "Fecha: {date}",
		"dsn.message.arrival":     "Aceptado aquí: {date}",
		"dsn.footer.header":       "Este informe procede del servidor de correo {host}. Se adjuntan los detalles para programas y la cabecera de su mensaje.",
		"dsn.footer.message":      "Este informe procede del servidor de correo {host}. Se adjuntan los detalles para programas y su mensaje.",
		"dsn.footer.alone":        "Este informe procede del servidor de correo {host}. Se adjuntan los detalles para programas.",
	},
	"fr": {
		"dsn.from":                "Service de distribution du courrier",
		"dsn.date":                "02/01/2006 à 15:04 UTC",
		"dsn.subject.failed":      "Non remis : {address}",
		"dsn.subject.delayed":     "Pas encore remis : {address}",
		"dsn.subject.delivered":   "Remis : {address}",
		"dsn.subject.relayed":     "Transmis au serveur suivant : {address}",
		"dsn.subject.expanded":    "Remis à une liste : {address}",
		"dsn.subject.many":        "{address} et {more} de plus",
		"dsn.intro.failed":        "Votre message n'a pas pu être remis à cette adresse. Il n'y aura pas de nouvelle tentative :",
		"dsn.intro.delayed":       "Votre message n'est pas encore arrivé à cette adresse. Les tentatives continuent ; inutile de l'envoyer de nouveau :",
		"dsn.intro.delivered":     "Comme vous l'avez demandé, nous vous informons que votre message a été remis à cette adresse :",
		"dsn.intro.relayed":       "Comme vous l'avez demandé, nous vous informons que votre message pour cette adresse a été transmis au serveur suivant. Ce serveur ne signale pas les remises ; vous ne recevrez donc plus rien de notre part :",
		"dsn.intro.expanded":      "Comme vous l'avez demandé, nous vous informons que votre message a été remis à cette adresse, qui est une liste et l'envoie à ses membres :",
		"dsn.forwarded.hidden":    "Le message a été redirigé, comme le souhaite le titulaire de cette adresse. L'adresse de destination est privée et n'est pas montrée ici.",
		"dsn.forwarded.disclosed": "Le message a été redirigé vers {target}, comme le souhaite le titulaire de cette adresse.",
		"dsn.said.server":         "Le serveur {server} a répondu :",
		"dsn.said.forwarded":      "Le serveur vers lequel il a été redirigé a répondu :",
		"dsn.said.unnamed":        "L'autre serveur a répondu :",
		"dsn.said.nothing":        "Aucune réponse n'est venue d'un autre serveur.",
		"dsn.said.withheld":       "Le serveur vers lequel il a été redirigé a répondu par le code {code}. Ses mots ne sont pas montrés, car ils révéleraient l'adresse privée.",
		"dsn.means":               "Ce que cela signifie :",
		"dsn.do":                  "Ce que vous pouvez faire :",
		"dsn.who":                 "Qui peut y remédier :",
		"dsn.who.nobody":          "Personne n'a rien à faire.",
		"dsn.who.sender":          "Vous, en tant qu'expéditeur.",
		"dsn.who.sender-admin":    "La personne qui gère le courrier de votre propre domaine. Merci de lui transmettre ce rapport.",
		"dsn.who.recipient":       "La personne à qui vous avez écrit. Si vous pouvez la joindre autrement, prévenez-la.",
		"dsn.who.recipient-admin": "La personne qui gère le serveur de courrier de votre destinataire.",
		"dsn.who.operator":        "Les responsables de ce serveur, {host}. Écrivez à postmaster@{host} en indiquant la référence ci-dessous.",
		"dsn.until":               "Nous continuons d'essayer jusqu'au {date}. Si le message n'est pas remis d'ici là, vous en serez informé.",
		"dsn.last":                "Dernière tentative : {date}",
		"dsn.status":              "Code d'état : {status}",
		"dsn.reference":           "Notre référence : {id}",
		"dsn.message":             "Le message :",
		"dsn.message.subject":     "Objet : {subject}",
		"dsn.message.date":        "Date : {date}",
		"dsn.message.arrival":     "Accepté ici : {date}",
		"dsn.footer.header":       "Ce rapport provient du serveur de courrier {host}. Ci-joints : les détails destinés aux programmes et l'en-tête de votre message.",
		"dsn.footer.message":      "Ce rapport provient du serveur de courrier {host}. Ci-joints : les détails destinés aux programmes et votre message.",
		"dsn.footer.alone":        "Ce rapport provient du serveur de courrier {host}. Ci-joints : les détails destinés aux programmes.",
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
