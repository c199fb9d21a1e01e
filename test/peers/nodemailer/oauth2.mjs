// Logs in to a running Onward with nodemailer by OAuth 2 (XOAUTH2).
// Arguments: implicit TLS host:port, user, token, and the code that is due: 235 or 535. Ends with 0 where all is as due.
import assert from "node:assert/strict";
import nodemailer from "nodemailer";

const [address, user, accessToken, due] = process.argv.slice(2);
const [host, port] = address.split(":");
const transport = nodemailer.createTransport({
  host, port: Number(port), secure: true,
  tls: { rejectUnauthorized: false }, // the server has made its own certificate
  auth: { type: "OAuth2", user, accessToken },
});
if (due === "235") {
  assert.equal(await transport.verify(), true);
} else {
  await assert.rejects(transport.verify(), (e) => {
    assert.equal(e.code, "EAUTH");
    assert.equal(e.responseCode, Number(due));
    return true;
  });
}
transport.close();
