/* ---- loops in the waterfall: the first round stands, the others fold to one row with their number, time and cost ---- */
const FEWEST_ROUNDS = 5;

/* first folded span -> {at, to, finding, rounds, spans, ns, usd, unpriced}; a fold is a run of siblings with all that is in them */
function roundsOf(M) {
  const folds = new Map();
  M.P.findings.forEach((finding, k) => {
    if (!(finding.times >= FEWEST_ROUNDS)) return;
    const groups = new Map();
    for (const i of finding.spans) if (!M.found[k].has(M.parent[i])) { const p = M.parent[i]; if (!groups.has(p)) groups.set(p, []); groups.get(p).push(i); }
    for (const group of groups.values()) {
      group.sort((a, b) => a - b);
      const each = Math.max(1, Math.round(group.length / finding.times)), at = group[each];
      if (at === undefined || group.length < each * FEWEST_ROUNDS || folds.has(at)) continue;
      const to = M.next[group[group.length - 1]], fold = {at, to, finding: k, rounds: Math.round(group.length / each) - 1, spans: to - at, ns: 0, usd: 0, tokens: 0, unpriced: false};
      let end = M.end[at];
      for (let i = at; i < to; i++) { fold.usd += M.cost[i]; fold.tokens += M.tokens[i]; end = Math.max(end, M.end[i]); if (M.flags[i] & UNPRICED) fold.unpriced = true; }
      fold.end = end; fold.ns = end - M.start[at];
      folds.set(at, fold);
    }
  });
  return folds;
}
