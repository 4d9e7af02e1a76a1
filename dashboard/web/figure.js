// Mounts a figure drawn in Python (markup is escaped there), reports clicks on elements that name a span or a finding,
// offers the same as a table, and saves what is seen.

function isDark(node) {
  const colour = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(colour);
  if (!match) return false;
  const [r, g, b] = match.slice(1, 4).map((part) => parseInt(part, 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
}

const TARGET = "[data-span], [data-spans], [data-finding]";
const KEYS = [
  ["j k or ↓ ↑", "next, previous element"], ["Home End", "first, last"], ["Enter or Space", "select it"],
  ["t", "table or diagram"], ["Esc", "close this sheet"], ["?", "this sheet"],
];

function make(tag, cls, text) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
}

function targetOf(node) {
  const target = {};
  const span = node.dataset.span || (node.dataset.spans || "").split(" ")[0];
  if (span) target.span = span;
  if (node.dataset.finding) target.finding = node.dataset.finding;
  return target;
}

/* ---- saving ---- */
function csv(table) {
  const head = table.columns.map((name, n) => (name || "kind") + (table.rows.some((row) => Array.isArray(row[n]) && /[a-zµ]$/.test(row[n][0])) ? " (ns)" : ""));
  const exact = (cell) => (Array.isArray(cell) ? cell[1] : cell);
  return csvOf([[...head, "span_id"], ...table.rows.map((row, n) => [...row.map(exact), table.spans[n]])]);
}

const DRAWN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "stroke-linejoin", "paint-order", "font-size", "font-weight", "font-style", "text-anchor", "display", "opacity"];

// All pictures of the figure one below the other, with every colour written out: the file needs no style sheet.
function svgOf(root, body) {
  const space = "http://www.w3.org/2000/svg";
  const parts = [...body.querySelectorAll("svg")].filter((svg) => !svg.closest(".sq-again"));
  const sizes = parts.map((svg) => [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height]);
  const width = Math.max(...sizes.map((size) => size[0])), height = sizes.reduce((sum, size) => sum + size[1], 0);
  const whole = document.createElementNS(space, "svg");
  for (const [name, value] of Object.entries({ xmlns: space, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "Inter, system-ui, sans-serif" })) whole.setAttribute(name, value);
  const ground = document.createElementNS(space, "rect");
  for (const [name, value] of Object.entries({ width, height, fill: getComputedStyle(root).backgroundColor })) ground.setAttribute(name, value);
  whole.append(ground);
  let y = 0;
  parts.forEach((svg, n) => {
    const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((node, k) => {
      const style = getComputedStyle(node);
      for (const name of DRAWN) if (style.getPropertyValue(name)) to[k].setAttribute(name, style.getPropertyValue(name));
      for (const name of ["class", "tabindex", "role"]) to[k].removeAttribute(name);
    });
    for (const [name, value] of Object.entries({ x: 0, y, width: sizes[n][0], height: sizes[n][1] })) copy.setAttribute(name, value);
    whole.append(copy);
    y += sizes[n][1];
  });
  return new XMLSerializer().serializeToString(whole);
}

/* ---- the figure as a table ---- */
function drawTable(box, data, root) {
  const table = data.table, node = make("table"), head = make("tr"), body = make("tbody");
  table.columns.forEach((name, n) => head.append(make("th", table.right[n] ? "right" : "", name)));
  table.rows.forEach((cells, n) => {
    const row = make("tr");
    if (table.spans[n]) row.dataset.span = table.spans[n];
    if (table.findings[n]) row.dataset.finding = table.findings[n];
    cells.forEach((cell, c) => {
      const td = make("td", table.right[c] ? "right" : "", Array.isArray(cell) ? cell[0] : cell);
      if (Array.isArray(cell) && cell[1]) td.title = cell[1] + (/[a-zµ]$/.test(cell[0]) ? " ns" : "");
      row.append(td);
    });
    body.append(row);
  });
  const thead = make("thead");
  thead.append(head);
  node.append(thead, body);
  node.tabIndex = 0;
  node.setAttribute("aria-label", `${data.label} as a table`);
  const note = table.leftOut ? [make("div", "figure-note", `Showing ${table.rows.length.toLocaleString("en-US")} of ${(table.rows.length + table.leftOut).toLocaleString("en-US")} rows.`)] : [];
  box.replaceChildren(...note, node);
  ready(box, root);
}

function ready(box) {
  for (const node of box.querySelectorAll(TARGET)) {
    node.classList.add("pickable");
    node.setAttribute("tabindex", "-1"); // Tab stops once at the figure, arrows go through it
  }
}

function build(parent) {
  const root = make("div", "th figure"), style = make("style"), bar = make("div", "figure-bar"), body = make("div", "figure-body"), table = make("div", "figure-table"), help = make("div", "figure-help");
  const button = (text, title, act) => {
    const node = make("button", "", text);
    node.type = "button";
    node.title = title;
    node.addEventListener("click", act);
    bar.append(node);
    return node;
  };
  root.__table = false;
  const flip = () => {
    root.__table = !root.__table;
    root.__draw();
  };
  root.__flip = button("Table", "The same as a table with exact values (t)", flip);
  button("CSV", "Save what is shown as a table with exact values", () => download(`${root.__data.file}.csv`, "text/csv", csv(root.__data.table)));
  root.__svg = button("SVG", "Save the picture", () => download(`${root.__data.file}.svg`, "image/svg+xml", svgOf(root, body)));
  const sheet = (on = help.hidden) => {
    help.hidden = !on;
  };
  button("?", "Keyboard (?)", () => sheet());
  const keys = make("dl");
  for (const [key, what] of KEYS) keys.append(make("dt", "", key), make("dd", "", what));
  help.append(make("b", "", "Keyboard"), keys);
  help.hidden = true;
  help.setAttribute("role", "dialog");
  help.setAttribute("aria-label", "Keyboard");
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "This figure");
  root.append(style, bar, body, table, help);
  parent.append(root);
  const pick = (event) => {
    const node = event.target.closest(TARGET);
    if (!node || !root.contains(node)) return;
    if (event.type === "keydown") event.preventDefault();
    else if (String(getSelection())) return; // the person is selecting text
    root.__pick({ ...targetOf(node), at: Date.now() });
  };
  root.addEventListener("click", pick);
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "BUTTON") return;
    if (event.key === "Enter" || event.key === " ") return pick(event);
    const shown = root.__table ? table : body, all = [...shown.querySelectorAll(TARGET)].filter((node) => !node.closest(".sq-again"));
    const focused = all.indexOf(root.getRootNode().activeElement);
    const at = focused < 0 ? all.findIndex((node) => node.classList.contains("selected")) : focused;
    const to = { j: at + 1, ArrowDown: at + 1, k: Math.max(0, at - 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined && all.length) {
      const node = all[Math.min(all.length - 1, to)];
      node.focus();
      node.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if (event.key === "t" && root.__data.table) flip();
    else if (event.key === "?") sheet();
    else if (event.key === "Escape") sheet(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  root.__draw = () => draw(root, style, bar, body, table);
  return root;
}

function draw(root, style, bar, body, table) {
  const data = root.__data;
  bar.hidden = !data.table;
  body.hidden = root.__table && Boolean(data.table);
  table.hidden = !body.hidden;
  root.__flip.setAttribute("aria-pressed", body.hidden);
  root.__svg.disabled = body.hidden;
  if (root.__css !== data.css) style.textContent = root.__css = data.css || "";
  if (root.__markup !== data.markup) {
    body.innerHTML = root.__markup = data.markup;
    for (const theme of body.querySelectorAll(".th")) theme.removeAttribute("data-theme");
    body.tabIndex = 0;
    ready(body);
    table.replaceChildren();
  }
  if (body.hidden && !table.childNodes.length) drawTable(table, data, root);
  for (const name of ["selected", "in-finding"]) for (const node of root.querySelectorAll(`.${name}`)) node.classList.remove(name);
  const shown = body.hidden ? table : body;
  const hits = data.selected ? [...shown.querySelectorAll(TARGET)].filter((node) => node.dataset.span === data.selected || (node.dataset.spans || "").split(" ").includes(data.selected)) : [];
  for (const node of hits) node.classList.add("selected");
  const own = data.finding ? [...shown.querySelectorAll("[data-finding]")].filter((node) => node.dataset.finding === data.finding) : [];
  for (const node of own) node.classList.add("in-finding");
  const goal = hits[0] || own[0];
  if (goal && (root.__selected !== data.selected || root.__finding !== data.finding)) goal.scrollIntoView({ block: "nearest", inline: "nearest" });
  root.__selected = data.selected;
  root.__finding = data.finding;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".figure") || build(parentElement);
  root.__pick = (target) => setTriggerValue("pick", target);
  root.__data = data;
  root.dataset.theme = isDark(parentElement.host || parentElement) ? "dark" : "light";
  root.classList.toggle("natural", Boolean(data.natural));
  root.setAttribute("aria-label", data.label || "");
  root.__draw();
  root.dataset.ready = "true";
}
