// Mounts a figure drawn in Python (markup is escaped there) and reports clicks on elements that name a span or a finding.

function isDark(node) {
  const colour = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(colour);
  if (!match) return false;
  const [r, g, b] = match.slice(1, 4).map((part) => parseInt(part, 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
}

const TARGET = "[data-span], [data-spans], [data-finding]";

function targetOf(node) {
  const target = {};
  const span = node.dataset.span || (node.dataset.spans || "").split(" ")[0];
  if (span) target.span = span;
  if (node.dataset.finding) target.finding = node.dataset.finding;
  return target;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let root = parentElement.querySelector(".figure");
  if (!root) {
    root = document.createElement("div");
    root.className = "th figure";
    root.append(document.createElement("style"), document.createElement("div"));
    parentElement.append(root);
    const pick = (event) => {
      const node = event.target.closest(TARGET);
      if (!node || !root.contains(node)) return;
      if (event.type === "keydown") {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
      } else if (String(getSelection())) return; // the person is selecting text
      root.__pick({ ...targetOf(node), at: Date.now() });
    };
    root.addEventListener("click", pick);
    root.addEventListener("keydown", pick);
  }
  root.__pick = (target) => setTriggerValue("pick", target);
  root.dataset.theme = isDark(parentElement.host || parentElement) ? "dark" : "light";
  root.classList.toggle("natural", Boolean(data.natural));
  root.setAttribute("aria-label", data.label || "");
  const [style, body] = root.children;
  if (root.__css !== data.css) {
    style.textContent = data.css || "";
    root.__css = data.css;
  }
  if (root.__markup !== data.markup) {
    body.innerHTML = data.markup;
    root.__markup = data.markup;
    for (const theme of body.querySelectorAll(".th")) theme.removeAttribute("data-theme");
    for (const node of body.querySelectorAll(TARGET)) {
      node.classList.add("pickable");
      if (!node.hasAttribute("tabindex")) node.setAttribute("tabindex", "0");
    }
  }
  for (const node of body.querySelectorAll(".selected")) node.classList.remove("selected");
  if (data.selected) {
    const hits = [...body.querySelectorAll(TARGET)].filter(
      (node) => node.dataset.span === data.selected || (node.dataset.spans || "").split(" ").includes(data.selected),
    );
    for (const node of hits) node.classList.add("selected");
    if (hits.length && root.__selected !== data.selected && !root.__own) hits[0].scrollIntoView({ block: "nearest" });
  }
  root.__selected = data.selected;
  root.dataset.ready = "true";
}
