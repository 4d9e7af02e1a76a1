/* ---- axis of time: long stretches in which nothing worked are drawn narrow, so that a wait of hours does not squash the work ---- */
const GAP_SHARE = 0.14, ALL_GAPS = 0.7;   /* width of one gap and of all together, in shares of the time worked */

/* Piecewise linear. `at` turns ns of the run into ns of the axis; stretches of work keep their scale. */
function timeAxis(idle, duration) {
  const work = duration - idle.reduce((sum, [a, b]) => sum + b - a, 0), wide = Math.max(1, work * Math.min(GAP_SHARE, ALL_GAPS / Math.max(1, idle.length)));
  const gaps = []; let saved = 0;
  for (const [from, to] of idle) {
    if (to - from <= wide) continue;
    gaps.push({from, to, x0: from - saved, x1: from - saved + wide});
    saved += to - from - wide;
  }
  const at = (t) => {
    const k = upper(gaps, t, (g) => g.from) - 1;
    if (k < 0) return t;
    const g = gaps[k];
    return t >= g.to ? g.x1 + t - g.to : g.x0 + (t - g.from) / (g.to - g.from) * (g.x1 - g.x0);
  };
  /* stretches of work as {from, to} in ns of the run and x0 on the axis */
  const stretches = gaps.map((g, k) => ({from: k ? gaps[k - 1].to : 0, to: g.from, x0: k ? gaps[k - 1].x1 : 0}));
  const last = gaps[gaps.length - 1];
  stretches.push(last ? {from: last.to, to: duration, x0: last.x1} : {from: 0, to: duration, x0: 0});
  return {gaps, at, stretches, total: Math.max(1, at(duration)), hidden: gaps.reduce((sum, g) => sum + g.to - g.from, 0)};
}
/* a round step that gives marks about `apart` px from one another, where one px is `unit` of the weight */
function tickStep(unit, apart, timed) {
  const raw = unit * apart, scale = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * scale).find((s) => s >= raw);
  return timed && raw > 1e10 ? [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800].map((s) => s * 1e9).find((s) => s >= raw) || step : step;
}
/* marks between `a` and `b` of the axis: [place on the axis, what it means, room to the next break] */
function ticks(M, L, weight, a, b, step) {
  const out = [], axis = weight === 'time' && L.axis;
  if (!axis) { for (let k = Math.ceil(a / step); k * step <= b; k++) out.push([k * step, k * step, Infinity]); return out; }
  for (const s of axis.stretches) {
    const end = s.x0 + s.to - s.from; if (end < a || s.x0 > b) continue;
    const from = s.from + Math.max(0, a - s.x0), to = Math.min(s.to, s.from + b - s.x0);
    for (let k = Math.ceil(from / step); k * step <= to; k++) out.push([s.x0 + k * step - s.from, k * step, end - (s.x0 + k * step - s.from)]);
  }
  return out;
}
