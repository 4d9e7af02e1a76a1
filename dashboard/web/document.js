// Draws a document of blocks that Python composed (dashboard/documents) and reports what was picked.
//
// Every text goes through textContent: prompts, answers and names can never become markup here.
// Block shapes are described in dashboard/documents/blocks.py.

const FOLD_CHARS = 900;

function el(tag, cls, text) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined && text !== null) node.textContent = String(text);
  return node;
}

function pickable(node, target, ctx) {
  if (!target) return node;
  node.classList.add("pickable");
  node.setAttribute("role", "button");
  node.tabIndex = 0;
  if (target.span) node.dataset.span = target.span;
  if (target.finding) node.dataset.finding = target.finding;
  const go = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    if (String(getSelection && getSelection()) && event.type === "click") return; // the person is selecting text
    event.preventDefault();
    event.stopPropagation();
    ctx.pick(target);
  };
  node.addEventListener("click", go);
  node.addEventListener("keydown", go);
  return node;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
const COPY = "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z", DONE = "M3 8.5l3.5 3.5L13 4.5", FAILED = "M4 4l8 8M12 4l-8 8";

function copyButton(text, label) {
  const button = el("button", "copy");
  button.append(icon(COPY));
  button.type = "button";
  button.title = label || "Copy";
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    const show = (path) => {
      button.replaceChildren(icon(path));
      setTimeout(() => button.replaceChildren(icon(COPY)), 1200);
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => show(DONE), () => show(FAILED));
  });
  return button;
}

function foldable(text, cls, limit) {
  const body = el("div", "text " + (cls || ""));
  const max = limit || FOLD_CHARS;
  if (text.length <= max * 1.5) {
    body.textContent = text;
    return body;
  }
  const space = text.lastIndexOf(" ", max);
  const cut = space > max * 0.8 ? space : max;
  const shown = el("span", "", text.slice(0, cut));
  const more = el("button", "more", `… ${(text.length - cut).toLocaleString("en-US")} more characters`);
  more.type = "button";
  more.addEventListener("click", (event) => {
    event.stopPropagation();
    shown.textContent = text;
    more.remove();
  });
  body.append(shown, more);
  return body;
}

function chip(item, ctx) {
  const node = el("span", `chip tone-${item.tone || "neutral"}${item.on ? " on" : ""}`);
  if (item.glyph) node.append(el("span", "glyph", item.glyph));
  node.append(el("span", "", item.text));
  if (item.title) node.title = item.title;
  if (item.on) node.setAttribute("aria-pressed", "true");
  return pickable(node, item.pick, ctx);
}

// The table as it stands there; a note behind a cell is a column of its own.
function saveButton(block, file) {
  const button = el("button", "save", "CSV");
  button.type = "button";
  button.title = "Save this table";
  const noted = block.columns.map((_, n) => block.rows.some((row) => row.cells[n] && row.cells[n].note));
  const shown = (cell, n) => {
    const one = cell && typeof cell === "object" ? [cell.text, cell.note || ""] : [cell === null || cell === undefined ? "" : String(cell), ""];
    return noted[n] ? one : one.slice(0, 1);
  };
  const head = block.columns.flatMap((column, n) => (noted[n] ? [column.label, `${column.label} (note)`] : [column.label]));
  button.addEventListener("click", () => download(`${file}.csv`, "text/csv", csvOf([head, ...block.rows.map((row) => row.cells.flatMap(shown))])));
  return button;
}

const BLOCKS = {
  heading(block, ctx) {
    const head = el("div", `heading level${block.level || 1}`);
    if (block.glyph) {
      const glyph = el("span", "glyph", block.glyph);
      glyph.style.color = `var(--th-k-${block.kind || "other"})`;
      head.append(glyph);
    }
    head.append(el("span", "heading-text", block.text));
    if (block.note) head.append(el("span", "muted", block.note));
    for (const item of block.chips || []) head.append(chip(item, ctx));
    if (block.copy) head.append(copyButton(block.copy, block.copy_label));
    return head;
  },
  chips(block, ctx) {
    const row = el("div", "chips");
    for (const item of block.items) row.append(chip(item, ctx));
    return row;
  },
  facts(block, ctx) {
    const list = el("dl", "facts");
    for (const row of block.rows) {
      list.append(el("dt", "", row.label));
      const value = el("dd", `${row.mono ? "mono " : ""}${row.tone ? "tone-" + row.tone : ""}`);
      const text = el("span", "", row.value);
      value.append(pickable(text, row.pick, ctx));
      if (row.hint) value.append(el("span", "muted", row.hint));
      if (row.copy) value.append(copyButton(row.copy));
      if (row.title) value.title = row.title;
      list.append(value);
    }
    return list;
  },
  message(block, ctx) {
    const card = el("div", `message role-${block.role_class || "other"}${block.selected ? " selected" : ""}`);
    const head = el("div", "message-head");
    if (block.time) head.append(el("span", "time", block.time));
    head.append(el("span", "role", block.role));
    if (block.to) head.append(el("span", "muted", "→"), el("span", "role", block.to));
    if (block.note) head.append(el("span", "muted", block.note));
    for (const item of block.chips || []) head.append(chip(item, ctx));
    if (block.copy) head.append(copyButton(block.copy, "Copy text"));
    card.append(head);
    if (block.text) card.append(foldable(block.text, "", block.fold));
    for (const call of block.calls || []) {
      const tool = el("div", "toolcall");
      const line = el("div", "toolcall-head");
      line.append(el("span", "glyph", "⚒"), el("span", "mono", call.name));
      if (call.note) line.append(el("span", "muted", call.note));
      tool.append(line);
      if (call.arguments) tool.append(foldable(call.arguments, "mono code", 400));
      if (call.result) tool.append(el("div", "muted small", "returned"), foldable(call.result, "mono code", 400));
      card.append(pickable(tool, call.pick, ctx));
    }
    return pickable(card, block.pick, ctx);
  },
  code(block) {
    const box = el("div", "codebox");
    const head = el("div", "code-head");
    head.append(el("span", "muted", block.label || ""), copyButton(block.text));
    box.append(head, foldable(block.text, `mono code${block.tone ? " tone-" + block.tone : ""}`, block.fold));
    return box;
  },
  diff(block) {
    const box = el("div", "diff mono");
    box.setAttribute("role", "figure");
    for (const [mark, text] of block.rows) {
      const cls = { "+": "added", "-": "removed", "@": "hunk" }[mark] || "";
      const line = el("div", "diff-line " + cls);
      line.append(el("span", "mark", mark === "@" ? "⋯" : mark), el("span", "", text));
      box.append(line);
    }
    return box;
  },
  table(block, ctx) {
    const wrap = el("div", "table-wrap");
    const table = el("table");
    const head = el("tr");
    for (const column of block.columns) head.append(el("th", column.align || "", column.label));
    const thead = el("thead");
    thead.append(head);
    const body = el("tbody");
    for (const row of block.rows) {
      const tr = el("tr", row.selected ? "selected" : "");
      row.cells.forEach((cell, i) => {
        const column = block.columns[i];
        const td = el("td", `${column.align || ""}${column.mono ? " mono" : ""}${column.tight ? " tight" : ""}`);
        if (cell && typeof cell === "object") {
          td.append(el("span", `tone-${cell.tone || "none"}`, cell.text));
          if (cell.note) td.append(el("span", "muted cell-note", cell.note));
          if (cell.title) td.title = cell.title;
        } else td.textContent = cell === null || cell === undefined ? "—" : cell;
        tr.append(td);
      });
      body.append(pickable(tr, row.pick, ctx));
    }
    const name = `${ctx.path}|${block.columns.map((column) => column.label).join("|")}`;
    const rest = block.first && !ctx.open.get(name) ? [...body.children].slice(block.first) : [];
    for (const tr of rest) tr.hidden = true;
    table.append(thead, body);
    wrap.append(table);
    const foot = el("div", "table-foot");
    if (rest.length) {
      const more = el("button", "more", "Show all");
      more.type = "button";
      more.addEventListener("click", () => {
        ctx.open.set(name, true);
        for (const tr of rest) tr.hidden = false;
        said.remove();
      });
      const said = el("span", "note", `${block.said} `);
      said.append(more);
      foot.append(said);
    }
    if (ctx.file && block.rows.length) foot.append(saveButton(block, ctx.file));
    if (!foot.childNodes.length) return wrap;
    const box = el("div");
    box.append(wrap, foot);
    return box;
  },
  section(block, ctx) {
    const box = el("details", "section");
    const name = ctx.path + "/" + block.label;
    box.open = ctx.open.has(name) ? ctx.open.get(name) : Boolean(block.open);
    box.addEventListener("toggle", () => ctx.open.set(name, box.open));
    const summary = el("summary");
    summary.append(el("span", "", block.label));
    if (block.note) summary.append(el("span", "muted", block.note));
    const inner = el("div", "section-body");
    box.append(summary, inner);
    const fill = () => {
      if (!inner.childNodes.length) drawBlocks(inner, block.blocks, { ...ctx, path: name });
    };
    if (box.open) fill();
    box.addEventListener("toggle", () => box.open && fill());
    return box;
  },
  card(block, ctx) {
    const card = el("div", `card edge-${block.tone || "neutral"}${block.selected ? " selected" : ""}`);
    drawBlocks(card, block.blocks, ctx);
    return pickable(card, block.pick, ctx);
  },
  prose(block) {
    return foldable(block.text, `prose${block.tone ? " tone-" + block.tone : ""}`, block.fold);
  },
  line(block, ctx) {
    const node = el("div", `line${block.selected ? " selected" : ""}`);
    node.append(el("span", "", block.text));
    if (block.note) node.append(el("span", "muted cell-note", block.note));
    for (const item of block.chips || []) node.append(" ", chip(item, ctx));
    return pickable(node, block.pick, ctx);
  },
  note(block) {
    return el("div", `note${block.tone ? " tone-" + block.tone : ""}`, block.text);
  },
  divider(block) {
    const line = el("div", "divider");
    if (block.text) line.append(el("span", "muted", block.text));
    return line;
  },
};

function drawBlocks(parent, blocks, ctx) {
  for (const block of blocks) {
    const draw = BLOCKS[block.block];
    if (draw) parent.append(draw(block, ctx));
  }
}

function fileName(label) {
  return (label || "table").toLowerCase().replace(/;.*$/, "").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "table";
}

function isDark(node) {
  const colour = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(colour);
  if (!match) return false;
  const [r, g, b] = match.slice(1, 4).map((part) => parseInt(part, 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
}

// Arrows go through what can be picked; Tab does, too, and stops at buttons on the way.
function walk(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...this.querySelectorAll(".pickable")].filter((node) => node.checkVisibility());
  const at = all.indexOf(this.getRootNode().activeElement);
  const to = { j: at + 1, ArrowDown: at + 1, k: Math.max(0, at - 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  all[Math.min(all.length - 1, to)].focus();
  event.preventDefault();
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let root = parentElement.querySelector(".document");
  const state = (parentElement.__tracehound = parentElement.__tracehound || { open: new Map(), drawn: null });
  if (!root) {
    root = el("div", "th document");
    root.addEventListener("keydown", walk);
    parentElement.append(root);
  }
  root.dataset.theme = isDark(parentElement.host || parentElement) ? "dark" : "light";
  root.classList.toggle("panel", Boolean(data.panel));
  root.setAttribute("aria-label", data.label || "");
  state.pick = (target) => setTriggerValue("pick", { ...target, at: Date.now() });
  const stamp = JSON.stringify(data.blocks);
  if (state.drawn !== stamp) {
    const sameSubject = state.subject === data.subject;
    const top = root.scrollTop;
    root.replaceChildren();
    drawBlocks(root, data.blocks, { pick: (target) => state.pick(target), open: state.open, path: "", file: data.panel ? "" : fileName(data.label) });
    root.scrollTop = sameSubject ? top : 0;
    state.drawn = stamp;
    state.subject = data.subject;
    const chosen = root.querySelector(".selected");
    if (chosen && !data.panel && data.reveal) chosen.scrollIntoView({ block: "nearest" });
  }
  root.dataset.subject = data.subject || "";
  root.dataset.ready = "true";
}
