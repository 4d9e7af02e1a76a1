/* ---- model: typed columns, subtree ranges, search texts ---- */
function model(P) {
  const C = P.columns, n = C.id.length, f64 = (a) => Float64Array.from(a), i32 = (a) => Int32Array.from(a);
  const M = {P, n, id: C.id, parent: i32(C.parent), depth: i32(C.depth), lane: i32(C.lane), start: f64(C.start), dur: f64(C.dur), kind: i32(C.kind), agent: i32(C.agent),
    status: i32(C.status), label: i32(C.label), name: i32(C.name), cost: f64(C.cost), total_cost: f64(C.cost), tokens: f64(C.tokens), total_tokens: f64(C.tokens), flags: i32(C.flags), mark: i32(C.mark)};
  M.end = new Float64Array(n); M.next = new Int32Array(n).fill(n); M.index = new Map(); M.text = (i) => P.labels[M.label[i]];
  const open = [];
  for (let i = 0; i < n; i++) {
    M.end[i] = M.start[i] + M.dur[i];
    M.index.set(M.id[i], i);
    while (open.length && M.depth[open[open.length - 1]] >= M.depth[i]) M.next[open.pop()] = i;
    open.push(i);
  }
  for (let i = n - 1; i >= 0; i--) {
    const p = M.parent[i]; if (p < 0) continue;
    M.total_cost[p] += M.total_cost[i]; M.total_tokens[p] += M.total_tokens[i];
    if (M.flags[i] & (UNPRICED | UNPRICED_BELOW)) M.flags[p] |= UNPRICED_BELOW;
  }
  M.leaf = (i) => M.next[i] === i + 1;
  M.errors = []; M.marked = [];
  for (let i = 0; i < n; i++) { if (M.status[i] === ERROR) M.errors.push(i); if (M.mark[i] >= 0) M.marked.push(i); }
  M.found = P.findings.map((f) => new Set(f.spans));
  /* span -> its stretches of the critical path, in order of time */
  M.path = new Map(); const path = P.path || {span: []};
  for (let k = 0, i = 0, at = 0; k < path.span.length; k++) {
    i += path.span[k]; const from = at + path.lead[k]; at = path.took[k] < 0 ? M.end[i] : from + path.took[k];
    if (M.path.has(i)) M.path.get(i).push([from, at]); else M.path.set(i, [[from, at]]);
  }
  M.pathList = [...M.path.keys()].sort((a, b) => a - b);
  M.rail = new Int32Array(n).fill(-1);   /* the finding of a span, or of what it is in; a whole run is not one rail */
  for (let i = 0; i < n; i++) { const p = M.parent[i]; M.rail[i] = M.mark[i] >= 0 ? M.mark[i] : p >= 0 && M.depth[p] > 0 ? M.rail[p] : -1; }
  M.layouts = {}; M.foldIdle = true; M.rounds = roundsOf(M);
  return M;
}
const isTime = (weight) => weight === 'time' || weight === 'real';
/* work of a subtree in ns: own times summed, so that what ran side by side counts twice */
function workOf(M) {
  if (M.work) return M.work;
  const time = layoutFor(M, 'real'), work = M.work = new Float64Array(M.n);
  for (let i = M.n - 1; i >= 0; i--) {
    for (const [p, q] of ownParts(M, time, i, 'real', 0)) work[i] += Math.max(0, q - p);
    if (M.parent[i] >= 0) work[M.parent[i]] += work[i];
  }
  return work;
}
/* x0, x1 in units of the weight, row, and per row the spans in order of x0; "time" has idle gaps folded, "real" is the clock's */
function layoutFor(M, weight) {
  if (M.layouts[weight]) return M.layouts[weight];
  const n = M.n, L = {x0: new Float64Array(n), x1: new Float64Array(n), row: new Int32Array(n), rows: [], total: 0, drawn: 0};
  if (isTime(weight)) {
    L.axis = timeAxis(weight === 'time' && M.foldIdle ? M.P.idle || [] : [], M.P.duration_ns); L.row = M.lane; L.total = L.axis.total;
    L.x0 = L.axis.gaps.length ? M.start.map(L.axis.at) : M.start; L.x1 = L.axis.gaps.length ? M.end.map(L.axis.at) : M.end;
  } else {
    /* left-heavy: heaviest child first, the span's own share at the right; concurrency cannot overlap because shares add up */
    const value = weight === 'cost' ? M.total_cost : weight === 'tokens' ? M.total_tokens : workOf(M);
    const kids = new Map();
    for (let i = 0; i < n; i++) { const p = M.parent[i]; if (!kids.has(p)) kids.set(p, []); kids.get(p).push(i); }
    for (const list of kids.values()) list.sort((a, b) => value[b] - value[a] || a - b);
    const place = (list, x) => { for (const i of list) { L.x0[i] = x; L.x1[i] = x + value[i]; x += value[i]; } return x; };
    L.total = place(kids.get(-1) || [], 0) || 1;
    for (let i = 0; i < n; i++) { if (kids.has(i)) place(kids.get(i), L.x0[i]); L.row[i] = M.depth[i]; }
  }
  for (let i = 0; i < n; i++) {
    if (!isTime(weight) && !(L.x1[i] > L.x0[i])) continue;
    (L.rows[L.row[i]] = L.rows[L.row[i]] || []).push(i); L.drawn++;
  }
  for (let r = 0; r < L.rows.length; r++) (L.rows[r] = L.rows[r] || []).sort((a, b) => L.x0[a] - L.x0[b] || a - b);
  return (M.layouts[weight] = L);
}
/* parts of span i that no child covers, in layout units, neighbours closer than `eps` merged */
function ownParts(M, L, i, weight, eps) {
  if (M.leaf(i)) return [[L.x0[i], L.x1[i]]];
  if (!isTime(weight)) { let x = L.x0[i]; for (let c = i + 1; c < M.next[i]; c = M.next[c]) x = Math.max(x, L.x1[c]); return x < L.x1[i] - eps / 4 ? [[x, L.x1[i]]] : []; }
  const out = []; let at = L.x0[i];
  for (let c = i + 1; c < M.next[i]; c = M.next[c]) {
    if (L.x0[c] > at + eps) out.push([at, Math.min(L.x0[c], L.x1[i])]);
    if (L.x1[c] > at) at = L.x1[c];
    if (at >= L.x1[i]) return out;
  }
  if (L.x1[i] > at) out.push([at, L.x1[i]]);
  return out;
}
