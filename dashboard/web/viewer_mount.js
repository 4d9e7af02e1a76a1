
/* ---- mounted by Streamlit (appended to the viewer) ---- */
const PATIENCE_MS = 3000;
const TALL = () => Math.max(480, window.innerHeight - 250);

function themeOf(node) {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(getComputedStyle(node).getPropertyValue('--st-background-color').trim());
  if (!match) return 'light';
  const [r, g, b] = match.slice(1, 4).map((part) => parseInt(part, 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128 ? 'dark' : 'light';
}

/* The columns come through another component (columns.js), before or after this one. */
function columnsOf(stamp) {
  const all = (window.__tracehoundColumns = window.__tracehoundColumns || new Map());
  if (!all.has(stamp)) {
    const one = {};
    one.promise = new Promise((resolve, reject) => Object.assign(one, {resolve, reject}));
    one.promise.catch(() => {});
    all.set(stamp, one);
  }
  return all.get(stamp).promise;
}

function follow(state, data, theme, payload) {
  const more = {}, given = state.given;
  if (data.mode !== given.mode) more.mode = state.mode = data.mode;
  if (data.weight !== given.weight) more.weight = state.weight = data.weight;
  // An answer to an older click must not undo a newer one.
  const late = state.pick && data.answered < state.pick.at;
  if (!late) {
    state.pick = null;
    if (data.selected !== state.selected) more.selected = data.selected;
    if (data.finding !== state.finding) more.finding = data.finding;
    Object.assign(state, {selected: data.selected, finding: data.finding});
  }
  if (payload) state.api.update(payload, more);
  else if (Object.keys(more).length || theme !== state.theme) state.api.update(null, more);
}

/* A pick that nothing answers, because the connection broke for a moment, is said again. */
function pick(state, what) {
  state.pick = {...what, at: Date.now()};
  Object.assign(state, {selected: what.span}, what.finding ? {finding: what.finding} : {});
  const say = (left) => {
    const asked = state.pick;
    state.report('pick', asked);
    if (left) setTimeout(() => state.pick === asked && state.api.host.isConnected && say(left - 1), PATIENCE_MS);
  };
  say(3);
}

function mount(state, data, parent, payload) {
  const box = document.createElement('div');
  parent.append(box);
  Object.assign(state, {mode: data.mode, weight: data.weight, selected: data.selected, finding: data.finding});
  state.api = mountTrace(box, payload, {
    mode: data.mode, weight: data.weight, selected: data.selected, finding: data.finding, height: TALL(),
    onSelect: (span) => pick(state, {span}),
    onFinding: (finding, span) => finding ? pick(state, {finding, span}) : state.report('pick', {clear: 'finding', at: Date.now()}),
    onState: ({mode, weight}) => {
      if (mode !== state.mode) press(mode);
      if (weight !== state.weight) state.report('state', {weight, at: Date.now()});
      Object.assign(state, {mode, weight}); // zooming stays here
    },
  });
  addEventListener('resize', () => state.api.update(null, {height: TALL()}));
}

function settle(state, data, parent, payload) {
  const theme = themeOf(parent.host || parent);
  if (!state.api) mount(state, data, parent, payload);
  else follow(state, data, theme, data.stamp !== state.given.stamp ? payload : null);
  state.theme = theme;
  state.given = {mode: data.mode, weight: data.weight, stamp: data.stamp};
  const host = state.api.host;
  if (host.dataset.theme !== theme) {
    host.dataset.theme = theme;
    state.api.update(null, {});
  }
}

export default function (component) {
  const {data, parentElement, setTriggerValue} = component;
  const state = (parentElement.__viewer = parentElement.__viewer || {});
  state.report = (name, value) => setTriggerValue(name, value);
  state.wanted = data;
  if (state.given && state.given.stamp === data.stamp) settle(state, data, parentElement, null);
  else columnsOf(data.stamp).then((payload) => { if (state.wanted === data) settle(state, data, parentElement, payload); });
}
