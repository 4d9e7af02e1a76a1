
/* ---- mounted by Streamlit (appended to the viewer) ---- */
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
  if (data.mode !== given.mode || data.weight !== given.weight) Object.assign(more, {mode: data.mode, weight: data.weight});
  // An answer to an older click must not undo a newer one.
  const late = state.sent && Date.now() - state.sentAt < 2000 && data.selected !== state.sent;
  if (data.selected !== given.selected && !late) more.selected = data.selected;
  if (data.finding !== given.finding && !late) more.finding = data.finding;
  if (payload) state.api.update(payload, more);
  else if (Object.keys(more).length || theme !== state.theme) state.api.update(null, more);
}

function mount(state, data, parent, payload) {
  const box = document.createElement('div');
  parent.append(box);
  state.api = mountTrace(box, payload, {
    mode: data.mode, weight: data.weight, selected: data.selected, finding: data.finding, height: TALL(),
    onSelect: (span) => { state.sent = span; state.sentAt = Date.now(); state.report('pick', {span}); },
    onFinding: (finding, span) => { state.sent = span; state.sentAt = Date.now(); state.report('pick', {finding, span}); },
    onState: ({mode, weight}) => {
      if (mode === state.mode && weight === state.weight) return; // zooming stays here
      state.mode = mode;
      state.weight = weight;
      state.report('state', {mode, weight});
    },
  });
  addEventListener('resize', () => state.api.update(null, {height: TALL()}));
}

function settle(state, data, parent, payload) {
  const theme = themeOf(parent.host || parent);
  if (!state.api) mount(state, data, parent, payload);
  else follow(state, data, theme, data.stamp !== state.given.stamp ? payload : null);
  state.mode = data.mode;
  state.weight = data.weight;
  state.theme = theme;
  state.given = {mode: data.mode, weight: data.weight, selected: data.selected, finding: data.finding, stamp: data.stamp};
  const host = state.api.host;
  if (host.dataset.theme !== theme) {
    host.dataset.theme = theme;
    state.api.update(null, {});
  }
}

export default function (component) {
  const {data, parentElement, setTriggerValue} = component;
  const state = (parentElement.__viewer = parentElement.__viewer || {});
  state.report = (name, value) => setTriggerValue(name, {...value, at: Date.now()});
  state.wanted = data;
  if (state.given && state.given.stamp === data.stamp) settle(state, data, parentElement, null);
  else columnsOf(data.stamp).then((payload) => { if (state.wanted === data) settle(state, data, parentElement, payload); });
}
