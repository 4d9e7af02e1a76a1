/* Trace viewer: waterfall with tree table, flame graph and minimap of one run. No dependencies. The files of this folder, put one after
 * the other in the order of `trace_view.VIEWER_PARTS`, are an ES module that may also be inlined.
 *
 *   mountTrace(element, payload, {mode, weight, selected, finding, height, onSelect, onFinding, onState}) -> {update, select, layout, destroy}
 *
 * payload   what `dashboard.figures.trace_view.payload` returns: spans as columns in depth-first order, times in ns from the start of the run
 * mode      "waterfall" | "flame"           weight   "time" | "work" (left-heavy) | "cost" | "tokens" (width of the flame graph)
 * selected  span id        finding  id of the finding whose spans stand out
 * onSelect(spanId), onFinding(findingId, spanId) and onState({mode, weight, range}) report what the reader does
 * update(payload, options)  new data (a live run) or options; selection, collapsed rows, zoom and scroll stay
 * layout()  rectangles of all spans in the present view, in CSS pixels: {mode, weight, left, width, rects: [{id, depth, lane, x, y, w, h}]}
 *
 * Solid colour is a span's own work, pale colour is covered by its children. Text enters the page through textContent and canvas only.
 */
const ROW = 22, FLAME_ROW = 20, RULER = 22, MINI = 46, OVERSCAN = 8, FONT = '11px Inter, system-ui, sans-serif';
const DUPLICATE = 1, UNPRICED = 2, UNPRICED_BELOW = 4, ORPHAN = 8, INFERRED = 16;
const NAMES_AGENT = new Set(['agent', 'message', 'handoff', 'escalation']);   /* their label names the agent already */
const OK = 0, ERROR = 1, RUNNING = 2, INTERRUPTED = 3;
const KEYS = [
  ['j k or ↓ ↑', 'next, previous span'], ['Home End', 'first, last span'], ['← →', 'fold, unfold; to the parent, to the first child'], ['Space', 'fold or unfold'], ['w s', 'zoom in, out'], ['a d', 'move left, right'],
  ['f', 'fit the selected span'], ['0', 'whole run'], ['/', 'find; Enter for the next match'], ['n', 'next match, or next span of the finding or critical path'], ['e', 'next error'],
  ['l', 'next loop or other finding'], ['c', 'critical path only'], ['g', 'idle time folded or to scale'], ['Esc', 'show everything again'], ['v', 'waterfall or flame graph'], ['?', 'this sheet'],
];

const group = (n) => n.toLocaleString('en-US', {maximumFractionDigits: 0});
const two = (n) => String(n).padStart(2, '0');
export function fmtTime(ns) {
  if (ns < 1e3) return ns ? `${Math.round(ns)} ns` : '0 s';
  if (ns < 999500) return `${(ns / 1e3).toFixed(0)} µs`;
  if (ns < 9.995e8) return `${(ns / 1e6).toFixed(0)} ms`;
  const s = ns / 1e9;
  if (s < 59.995) return `${s.toFixed(2)} s`;
  const w = Math.round(s);
  if (w < 3600) return `${Math.floor(w / 60)}m ${two(w % 60)}s`;
  return w < 172800 ? `${Math.floor(w / 3600)}h ${two(Math.floor(w % 3600 / 60))}m` : `${Math.floor(w / 86400)}d ${Math.floor(w % 86400 / 3600)}h`;
}
/* a count for a column of few characters; the tooltip has all digits */
const briefCost = (usd) => usd < 1e4 ? fmtCost(usd) : usd < 1e8 ? `$${group(usd)}` : `$${brief(usd)}`;
const brief = (n) => n < 1e7 ? group(n) : n < 9.995e8 ? `${(n / 1e6).toPrecision(3)}M` : `${(n / 1e9).toPrecision(3)}B`;
export function fmtCost(usd) {
  if (!usd) return '$0';
  if (usd < 5e-5) return '<$0.0001';
  return usd < 1 ? `$${usd.toFixed(4)}` : `$${usd.toLocaleString('en-US', {minimumFractionDigits: 2, maximumFractionDigits: 2})}`;
}
/* where the source has no times a second stands for a message, counted from 0 */
const fmtPlace = (ns) => `#${Math.round(ns / 1e9)}`;
function tickText(v, step, weight, timed = true) {
  if (weight === 'tokens') return group(v);
  if (weight === 'cost') return v ? '$' + v.toFixed(Math.max(0, Math.min(6, 1 - Math.floor(Math.log10(step))))) : '$0';
  if (!timed) return fmtPlace(v);
  if (step >= 6e10) return fmtTime(v);
  if (v >= 6e10) {
    const digits = step >= 1e9 ? 0 : Math.min(6, Math.ceil(-Math.log10(step / 1e9))), s = v / 1e9, h = Math.floor(s / 3600), m = Math.floor(s % 3600 / 60), rest = (s % 60).toFixed(digits);
    return `${h ? `${h}h ` : ''}${h ? two(m) : m}m ${rest.padStart(digits ? digits + 3 : 2, '0')}s`;
  }
  const unit = step >= 1e8 ? [1e9, 's'] : step >= 1e5 ? [1e6, 'ms'] : step >= 100 ? [1e3, 'µs'] : [1, 'ns'];
  return `${+(v / unit[0]).toPrecision(12)} ${unit[1]}`;
}
function el(tag, cls, text) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
}
/* first position in the ascending array `a` whose key is > v */
function upper(a, v, key = (x) => x) {
  let lo = 0, hi = a.length;
  while (lo < hi) { const m = (lo + hi) >> 1; if (key(a[m]) <= v) lo = m + 1; else hi = m; }
  return lo;
}
