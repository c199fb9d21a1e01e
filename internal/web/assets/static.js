// Search and comparison for the reference as files, where no server answers a
// form. It reads the index of the page's language, and nothing from elsewhere.
(() => {
  "use strict";
  const script = document.currentScript;
  const root = new URL(script.dataset.root, location.href);

  // The same words as the server's search: small letters without marks, codes
  // whole, pairs of characters for scripts without spaces.
  const dense = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}ー]/u;
  const words = (text) => {
    const list = [];
    for (const run of text.normalize("NFKC").toLowerCase().matchAll(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}ー]+|[0-9x]+(?:\.[0-9x]+)+|[\p{L}\p{N}\p{M}]+/gu)) {
      const word = run[0];
      if (dense.test(word[0])) {
        if (word.length === 1) list.push(word);
        for (let i = 0; i + 1 < word.length; i++) list.push(word.slice(i, i + 2));
        continue;
      }
      for (const part of word.split(/(?<=[^\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])(?=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])/u)) {
        if (dense.test(part[0])) list.push(...words(part));
        else list.push(part.normalize("NFD").replace(/\p{M}/gu, ""));
      }
    }
    return list;
  };

  // Typing errors: insertions, deletions, substitutions, swapped neighbours.
  const distance = (a, b, allowed) => {
    if (Math.abs(a.length - b.length) > allowed) return allowed + 1;
    let before = [], above = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const row = [i];
      for (let j = 1; j <= b.length; j++) {
        row[j] = Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
        if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
      }
      if (Math.min(...row) > allowed) return allowed + 1;
      before = above;
      above = row;
    }
    return above[b.length];
  };

  const number = /^[0-9x.]+$/;
  const kinds = { basic: 1.25, guide: 1.25, enhanced: 1.15, glossary: 1.15, provider: 0.7, reply: 0.9, private: 0.9 };

  const prepare = (documents) => {
    const postings = new Map();
    documents.forEach((d, i) => {
      const found = new Map();
      const note = (text, weight) => {
        for (const w of words(text || "")) found.set(w, Math.max(found.get(w) || 0, weight) + weight / 8);
      };
      note(d.code, 4);
      note(d.title, 4);
      note(d.words, 2.5);
      note(d.text, 1);
      for (const [w, weight] of found) {
        if (!postings.has(w)) postings.set(w, []);
        postings.get(w).push([i, weight]);
      }
    });
    return postings;
  };

  const search = (documents, postings, query) => {
    const asked = words(query.slice(0, 512)).slice(0, 24);
    const scores = new Map();
    asked.forEach((w, at) => {
      const best = new Map();
      const add = (word, quality) => {
        const list = postings.get(word);
        const rare = Math.log(1 + documents.length / list.length);
        for (const [doc, weight] of list) best.set(doc, Math.max(best.get(doc) || 0, quality * rare * weight));
      };
      if (postings.has(w)) add(w, 1);
      const long = w.length >= 3 && !number.test(w);
      if (at === asked.length - 1 && long) {
        for (const word of postings.keys()) if (word !== w && word.startsWith(w)) add(word, 0.6);
      }
      if (best.size === 0 && long && w.length >= 4) {
        const allowed = w.length < 8 ? 1 : 2;
        for (const word of postings.keys()) {
          const d = distance(w, word, allowed);
          if (d <= allowed) add(word, 0.45 / Math.max(d, 1));
        }
      }
      for (const [doc, score] of best) {
        const s = scores.get(doc) || [0, 0];
        scores.set(doc, [s[0] + score, s[1] + 1]);
      }
    });
    const whole = asked.join(" ");
    return [...scores].map(([i, [score, matched]]) => {
      const d = documents[i];
      const part = matched / asked.length;
      let total = score * (kinds[d.kind] || 1) * part * part;
      if (words(d.code || "").join(" ") === whole || words(d.title).join(" ") === whole) total += 60;
      return [total, d];
    }).sort((a, b) => b[0] - a[0]).slice(0, 30).map((h) => h[1]);
  };

  const page = document.getElementById("static-search");
  const query = new URLSearchParams(location.search).get("q") || "";
  if (page && query) {
    for (const field of document.querySelectorAll('input[name="q"]')) field.value = query;
    fetch(new URL(page.dataset.index, location.href)).then((r) => r.json()).then((documents) => {
      const hits = search(documents, prepare(documents), query);
      const list = document.createElement("ol");
      list.className = "hits";
      for (const d of hits) {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = new URL(d.path, root);
        link.textContent = (d.code ? d.code + " " : "") + d.title;
        const text = document.createElement("p");
        text.textContent = d.text.length > 180 ? d.text.slice(0, 180) + " …" : d.text;
        item.append(link, text);
        list.append(item);
      }
      page.replaceChildren(hits.length ? list : Object.assign(document.createElement("p"), { textContent: page.dataset.none }));
    });
  }

  // A pair is one file; the order of its name is the server's: reply codes
  // before enhanced ones, each by number.
  for (const form of document.querySelectorAll("form[data-pair]")) {
    const key = (c) => (c.includes(".") ? [1, ...c.replace(/^x/i, "0").split(".").map(Number)] : [0, Number(c)]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      let [a, b] = ["a", "b"].map((n) => form.elements[n].value.trim().toUpperCase());
      const x = key(a), y = key(b);
      for (let i = 0; i < Math.max(x.length, y.length); i++) {
        if ((x[i] ?? -1) !== (y[i] ?? -1)) {
          if ((x[i] ?? -1) > (y[i] ?? -1)) [a, b] = [b, a];
          break;
        }
      }
      location.href = new URL(`${form.dataset.pair}${a}-${b}/`, location.href);
    });
  }
})();
