// Runs the script of a page on a document with the few parts that it uses, and prints what a reader would see.
"use strict";
const html = require("fs").readFileSync(process.argv[2], "utf8");
class Element {
  constructor(tag, className = "", text = "") { Object.assign(this, { tag, className, text, hidden: false, value: "" }); }
  get textContent() { return this.text; }
  set textContent(text) { this.text = text; }
  append(...rows) { this.rows = rows; }
  prepend(search) { this.search = search; }
  after(button) { this.button = button; }
}
const cells = (line, tag) => [...line.matchAll(new RegExp(`<${tag}(?: class="(\\w+)")?>(.*?)</${tag}>`, "g"))]
  .map(([, name, text]) => new Element(tag, name, text));
const heads = cells(html.match(/<thead>(.*?)<\/thead>/s)[1], "th");
const body = new Element("tbody");
body.rows = [...html.match(/<tbody>(.*?)<\/tbody>/s)[1].matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, line]) =>
  Object.assign(new Element("tr"), { cells: cells(line, "td") }));
const scroll = new Element("div"), box = new Element("div");
box.dataset = { shown: html.match(/data-shown="(\d+)"/)[1] };
box.querySelector = (name) => (name === "tbody" ? body : scroll);
box.querySelectorAll = () => heads;
global.document = { querySelectorAll: () => [box], createElement: (tag) => new Element(tag) };
eval(html.match(/<script>(.*?)<\/script>/s)[1]);
const visible = () => body.rows.filter((row) => !row.hidden).map((row) => row.cells[0].text);
const say = (what, ...parts) => console.log(`${what}: ${parts.join(", ")}`);
const amount = () => `${visible().length} of ${body.rows.length}`;
say("at first", amount(), visible()[0], scroll.button.textContent);
heads[1].onclick();
say("by size", amount(), visible()[0], heads[1].ariaSort);
heads[1].onkeydown({ key: "Enter" });
say("by size again", amount(), visible()[0], heads[1].ariaSort);
scroll.button.onclick();
say("last of all", amount(), visible().at(-1));
heads[0].onclick();
say("by name", ...visible().slice(0, 4));
box.search.value = "Class 17";
box.search.oninput();
say("search", amount(), visible()[0]);
