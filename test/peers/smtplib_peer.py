"""Sends through a running Onward with Python's smtplib and checks every answer.

Arguments: MX host:port, submission host:port, implicit TLS host:port, user, password. Ends with 0 where all is as due.
"""

import smtplib
import ssl
import sys
from email.message import EmailMessage

mx, submission, submissions, user, password = sys.argv[1:]
lax = ssl.create_default_context()
lax.check_hostname = False
lax.verify_mode = ssl.CERT_NONE  # the server has made its own certificate


def port(address):
    host, number = address.rsplit(":", 1)
    return host, int(number)


def due(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def letter(subject, to):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = user, to, subject
    m.set_content("Grüße aus Python.\n.\n..zwei Punkte\n")
    m.add_attachment(bytes(range(256)) * 300, maintype="application", subtype="octet-stream", filename="bytes.bin")
    return m


# The MX port: the text of 251 and 551 as a program sees it.
with smtplib.SMTP(*port(mx), local_hostname="client.example.com", timeout=20) as s:
    s.ehlo()
    for extension in ("pipelining", "8bitmime", "enhancedstatuscodes", "size"):
        due(f"EHLO offers {extension}", s.has_extn(extension), True)
    due("EHLO on the MX port offers AUTH", s.has_extn("auth"), False)
    due("MAIL", s.mail("sender@example.com")[0], 250)
    due("RCPT announced", s.rcpt("anna@example.org"), (251, b"2.1.5 User not local; will forward to <anna@example.net>"))
    due("RCPT moved", s.rcpt("old@example.org"), (551, b"5.1.6 User not local; please try <new@example.net>"))
    due("RCPT unknown", s.rcpt("nobody@example.org")[0], 550)
    due("RSET", s.rset()[0], 250)
    due("VRFY", s.verify("anna@example.org")[0] in (250, 251, 252), True)
    refused = s.sendmail("sender@example.com", ["anna@example.org", "nobody@example.org"], "Subject: python partly\r\n\r\nHello\r\n")
    due("partly refused", {to: answer[0] for to, answer in refused.items()}, {"nobody@example.org": 550})

# Submission with STARTTLS.
with smtplib.SMTP(*port(submission), timeout=20) as s:
    s.ehlo()
    due("AUTH is offered before TLS", s.has_extn("auth"), False)
    due("STARTTLS", s.starttls(context=lax)[0], 220)
    s.ehlo()
    due("AUTH is offered after TLS", s.has_extn("auth"), True)
    try:
        s.login(user, "wrong")
        sys.exit("a wrong password is accepted")
    except smtplib.SMTPAuthenticationError as e:
        due("wrong password", e.smtp_code, 535)
        due("wrong password", e.smtp_error.startswith(b"5.7.8 "), True)
    due("login", s.login(user, password)[0], 235)
    s.send_message(letter("python starttls", "friend@example.com"))
    s.send_message(letter("python second", "friend@example.com"))

# Submission with implicit TLS.
with smtplib.SMTP_SSL(*port(submissions), context=lax, timeout=20) as s:
    due("login", s.login(user, password)[0], 235)
    s.send_message(letter("python implicit", "friend@example.com"))
