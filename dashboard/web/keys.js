// Keys of a whole page: on that of a run numbers choose a view and brackets go from finding to finding; ? shows all keys.
// What has the focus comes first: figures and the viewer keep their own keys to themselves.

const TYPING = /^(INPUT|TEXTAREA|SELECT)$/;

function make(tag, text) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  return node;
}

function sheetOf(data) {
  const sheet = make("div"), keys = make("dl"), close = make("button", "Close (Esc)");
  sheet.className = "th keys-sheet";
  sheet.hidden = true;
  sheet.setAttribute("role", "dialog");
  sheet.setAttribute("aria-label", "Keyboard of this page");
  const views = data.views.map((name, n) => [String(n + 1), name]);
  const findings = views.length ? [["[ ]", "previous, next finding"], ["x", "no finding: show everything"]] : [];
  const rows = [...views, ...findings, ["Tab", "next button, list or figure"], ["j k or ↓ ↑", "next, previous entry of a list"], ["Enter", "open or select it"], ["/", "find"], ["Esc", "close this sheet"], ["?", "this sheet"]];
  for (const [key, what] of rows) keys.append(make("dt", key), make("dd", what));
  close.type = "button";
  close.addEventListener("click", () => (sheet.hidden = true));
  sheet.append(make("b", "Keyboard"), keys, make("p", "Waterfall, flame graph and diagrams have keys of their own: go into one with Tab, then press ? there."), close);
  return sheet;
}

/* The first search box of the page, wherever it is drawn. */
function find(root = document) {
  const box = root.querySelector("input[type=search]");
  if (box) box.focus();
  return box || [...root.querySelectorAll("*")].some((node) => node.shadowRoot && find(node.shadowRoot));
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const state = (parentElement.__keys = parentElement.__keys || {});
  state.data = data;
  state.send = (value) => setTriggerValue("pick", { ...value, at: Date.now() });
  if (state.sheet) return;
  state.sheet = sheetOf(data);
  parentElement.append(state.sheet);
  const host = parentElement.host || parentElement;
  const listen = (event) => {
    if (!host.isConnected) return document.removeEventListener("keydown", listen);
    const at = event.composedPath()[0];
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || TYPING.test(at.tagName || "") || at.isContentEditable) return;
    const { views } = state.data, number = Number(event.key);
    if (event.key === "?") state.sheet.hidden = !state.sheet.hidden;
    else if (event.key === "Escape") state.sheet.hidden = true;
    else if (number >= 1 && number <= views.length) press(views[number - 1]);
    else if (event.key === "/") find();
    else if (!views.length) return;
    else if (event.key === "]" || event.key === "[") state.send({ step: event.key === "]" ? "next" : "previous" });
    else if (event.key === "x") state.send({ clear: "finding" });
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", listen);
}
