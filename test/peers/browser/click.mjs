// Clicks through the pages of a running Onward in Chromium, as a visitor would, and looks at each page with axe.
// Arguments: the address of the pages. Ends with 0 where all is as due; a failure names the step.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [base] = process.argv.slice(2);
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
assert.ok(executablePath, "no Chromium found; CHROMIUM names one");
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const browser = await puppeteer.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const page = await browser.newPage();
await page.setBypassCSP(true); // axe is brought in from outside; the policy itself is asked for below
await page.setExtraHTTPHeaders({ "Accept-Language": "en" });

// Everything that a page loads comes from the server itself, and nothing fails.
const wrong = [];
page.on("request", (r) => { if (!r.url().startsWith(base) && !r.url().startsWith("data:")) wrong.push(`asks ${r.url()}`); });
page.on("requestfailed", (r) => wrong.push(`failed: ${r.url()}`));
page.on("pageerror", (e) => wrong.push(`error: ${e.message}`));

const text = () => page.$eval("main", (m) => m.innerText);
const path = () => new URL(page.url()).pathname;
const open = async (at) => {
  const answer = await page.goto(base + at, { waitUntil: "load" });
  assert.equal(answer.status(), 200, `status of ${at}`);
  return answer;
};
const press = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
const step = async (name, work) => {
  try {
    await work();
    assert.deepEqual(wrong, []);
    console.log(`ok: ${name}`);
  } catch (e) {
    console.error(`FAILED: ${name}, at ${page.url()}\n${e.message}`);
    process.exitCode = 1;
  }
  wrong.length = 0;
};
const accessible = async () => {
  await page.addScriptTag({ path: axe });
  const found = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`), [], "axe");
};

await step("the start page has a strict policy", async () => {
  const answer = await open("/en/");
  assert.match(answer.headers()["content-security-policy"], /default-src 'none'/);
  assert.match(await text(), /explained/);
});

await step("a search with a typing error finds a page, and a click opens it", async () => {
  await open("/en/");
  await page.type("form.find input[name=q]", "greylistng");
  await press("form.find button");
  assert.match(await text(), /greylisting/i);
  await press("main ol a");
  assert.doesNotMatch(path(), /search/);
});

await step("the language changes, the page stays", async () => {
  await open("/en/codes/251");
  await press('nav.tongues a[hreflang="ja"]');
  assert.equal(path(), "/ja/codes/251");
  assert.equal(await page.$eval("html", (h) => h.lang), "ja");
  assert.match(await text(), /[\u3040-\u30ff]/);
});

await step("two codes are chosen and compared at the one address of the pair", async () => {
  await open("/en/compare");
  await page.type("main #a", "551");
  await page.type("main #b", "251");
  await press("main form.versus button");
  assert.equal(path(), "/en/compare/251-551");
  assert.match(await text(), /251/);
});

await step("a guide leads to an answer by clicks alone", async () => {
  await open("/en/guides");
  await press("main ul.own a");
  for (let i = 0; i < 20 && (await page.$("main ul.answers a")); i++) await press("main ul.answers a");
  assert.ok(await page.$("main .answer"), "no answer after 20 questions");
});

await step("the box explains a reply, and what was pasted is data", async () => {
  await open("/en/");
  await page.type("#line", '550 5.1.1 <nobody@example.net>: <script>document.title = "bad"</script> user unknown');
  await press("form.ask button");
  assert.equal(path(), "/en/explain");
  assert.match(await text(), /What it means/);
  assert.notEqual(await page.title(), "bad");
  assert.ok((await text()).includes("<script>"), "what was said is shown as it was said");
});

await step("garbage gets a friendly page", async () => {
  await open("/en/explain");
  await page.type("#line", "qwertz asdf");
  await press("form.ask button");
  assert.match(await text(), /could not read this/);
});

await step("the keyboard reaches the content first", async () => {
  await open("/en/codes");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
});

const pages = ["/en/", "/en/codes", "/en/codes/251", "/ja/codes/5.7.26", "/en/compare/251-535", "/en/compare", "/en/providers", "/en/providers/google",
  "/en/reasons", "/en/guides", "/ja/glossary", "/en/search?q=full", "/en/explain?line=421+4.7.0+slow+down", "/en/r/535/abcd-efgh-jkmn-pqrs", "/en/api"];
for (const [name, width, scheme] of [["desktop, light", 1280, "light"], ["phone, dark", 360, "dark"]]) {
  await page.setViewport({ width, height: 800 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  for (const at of pages) {
    await step(`axe and width: ${at}, ${name}`, async () => {
      await open(at);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "the page is wider than the window");
      await accessible();
    });
  }
}

await browser.close();
