"""Style sheet of the HTML pages, and the script of their long tables. Neither loads anything."""

from __future__ import annotations

# Light and dark, narrow screens, print.
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --soft: #444; --line: #ddd; --code: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181b; --soft: #b4b4b4; --line: #3a3d42; --code: #22252a; }
}
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
table { border-collapse: collapse; margin: .8rem 0 .2rem; } .scroll { overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; overflow-wrap: normal;
  vertical-align: top; }
td { overflow-wrap: break-word; max-width: 24rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; } th { vertical-align: bottom; }
th[aria-sort] { cursor: pointer; } th[aria-sort=ascending]::after { content: " ▲"; }
th[aria-sort=descending]::after { content: " ▼"; }
.table input { font: inherit; padding: .2rem .5rem; max-width: 100%; box-sizing: border-box; }
.table button { font: inherit; } .downloads { margin: 0; font-size: .85rem; } .downloads a { margin-right: .8rem; }
.downloads a { color: var(--soft); }
figure { margin: 1rem 0; } figure > img { max-width: 100%; height: auto; background: #fff; }
figcaption { color: var(--soft); font-size: .9rem; }
.grid { display: flex; flex-wrap: wrap; gap: .6rem; } .grid figure { margin: 0; width: min-content; }
.grid figure > img { max-width: none; }
.grid figcaption { overflow-wrap: break-word; max-width: 12rem; } .table { margin-top: .8rem; }
pre { background: var(--code); padding: .8rem; overflow-x: auto; font-size: .8rem; }
@media (max-width: 40rem) { body { margin: .5rem auto; } th, td { padding: .2rem .4rem; font-size: .85rem; }
  .grid figcaption { font-size: .75rem; max-width: 7rem; } }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #333; --line: #bbb; --code: #fff; }
  body { max-width: none; margin: 0; font-size: 10pt; } .downloads, .table input, .table button { display: none; }
  figure, tr, .grid figure { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll { overflow: visible; }
  pre { white-space: pre-wrap; }
}
"""

# Search, sorting by a column, and a button for all rows, of each table that asks for it by data-shown.
SCRIPT = r"""
"use strict";
for (const box of document.querySelectorAll(".table[data-shown]")) {
  const body = box.querySelector("tbody"), heads = [...box.querySelectorAll("th")], limit = +box.dataset.shown;
  let rows = [...body.rows], all = rows.length <= limit;
  const search = document.createElement("input"), more = document.createElement("button");
  search.type = "search";
  search.placeholder = search.ariaLabel = `search ${rows.length} rows`;
  more.type = "button";
  const words = (row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
  const texts = new Map(rows.map((row) => [row, words(row)]));
  const show = () => {
    const wanted = search.value.toLowerCase().split(/\s+/), found = [];
    for (const row of rows) {
      const fits = wanted.every((word) => texts.get(row).includes(word));
      if (fits) found.push(row);
      row.hidden = !fits || (!all && found.length > limit);
    }
    more.hidden = all || found.length <= limit;
    more.textContent = `show all ${found.length} rows`;
  };
  const key = (row, column) => {
    const text = row.cells[column].textContent;
    return heads[column].className === "number" ? parseFloat(text) : text;
  };
  const sort = (column) => {
    const down = heads[column].ariaSort === "ascending", number = heads[column].className === "number";
    for (const head of heads) head.ariaSort = "none";
    heads[column].ariaSort = down ? "descending" : "ascending";
    const sign = down ? -1 : 1, order = new Intl.Collator(undefined, { numeric: true }).compare;
    const keys = new Map(rows.map((row) => [row, key(row, column)]));
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (!number) return sign * order(x, y);
      return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : sign * (x - y);
    });
    body.append(...rows);
    show();
  };
  heads.forEach((head, column) => {
    head.ariaSort = "none";
    head.tabIndex = 0;
    head.onclick = () => sort(column);
    head.onkeydown = (event) => { if (event.key === "Enter") sort(column); };
  });
  search.oninput = show;
  more.onclick = () => { all = true; show(); };
  box.prepend(search);
  box.querySelector(".scroll").after(more);
  show();
}
"""
