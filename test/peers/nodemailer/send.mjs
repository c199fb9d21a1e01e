// Sends through a running Onward with nodemailer and checks every answer.
// Arguments: MX host:port, submission host:port, implicit TLS host:port, user, password. Ends with 0 where all is as due.
import assert from "node:assert/strict";
import nodemailer from "nodemailer";

const [mx, submission, submissions, user, password] = process.argv.slice(2);
const at = (address) => {
  const [host, port] = address.split(":");
  return { host, port: Number(port) };
};
const lax = { rejectUnauthorized: false }; // the server has made its own certificate
const letter = (subject) => ({
  from: { name: "Anna Ünal", address: user },
  to: "friend@example.com",
  subject,
  text: "Hello from Node.\n.\n..two dots\n",
  attachments: [{ filename: "bytes.bin", content: Buffer.alloc(200_000, 7) }],
});

// A pool of connections, each of them used for several messages.
const pool = nodemailer.createTransport({
  ...at(submission), pool: true, maxConnections: 4, requireTLS: true, tls: lax, auth: { user, pass: password },
});
const sent = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.sendMail(letter(`node ${i + 1}`))));
for (const info of sent) {
  assert.deepEqual(info.accepted, ["friend@example.com"]);
  assert.match(info.response, /^250[- ]2\./);
}
pool.close();

// Implicit TLS.
const implicit = nodemailer.createTransport({ ...at(submissions), secure: true, tls: lax, auth: { user, pass: password } });
await implicit.verify();
await implicit.sendMail(letter("node implicit"));

// A wrong password.
const wrong = nodemailer.createTransport({ ...at(submission), requireTLS: true, tls: lax, auth: { user, pass: "wrong" } });
await assert.rejects(wrong.sendMail(letter("node wrong")), (e) => {
  assert.equal(e.code, "EAUTH");
  assert.equal(e.responseCode, 535);
  assert.match(e.response, /^535[- ]5\.7\.8 /);
  return true;
});

// The MX port, without login: one recipient forwarded, one that has moved.
const plain = nodemailer.createTransport({ ...at(mx), ignoreTLS: true, name: "client.example.com" });
const info = await plain.sendMail({
  envelope: { from: "sender@example.com", to: ["anna@example.org", "old@example.org"] },
  from: "sender@example.com", to: "anna@example.org", subject: "node moved", text: "Hello\n",
});
assert.deepEqual(info.accepted, ["anna@example.org"]);
assert.deepEqual(info.rejected, ["old@example.org"]);
assert.equal(info.rejectedErrors[0].responseCode, 551);
assert.match(info.rejectedErrors[0].response, /please try <new@example\.net>$/);
