/* ---- what is seen, as a file ---- */
function download(name, type, text) {
  const link = document.createElement('a'); link.href = URL.createObjectURL(new Blob([text], {type})); link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
/* a text of a trace must not become a formula in a spreadsheet */
const csvCell = (v) => { const t = v === null || v === undefined ? '' : String(v), safe = typeof v === 'string' && /^[=+\-@\t\r]/.test(t) ? `'${t}` : t; return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe; };
const xml = (t) => String(t).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/* exact values of the spans `list`; times in ns, own cost and tokens, an unknown price is empty, and so are times that the source has not */
function spansCsv(M, list) {
  const rows = [['span_id', 'parent_span_id', 'kind', 'agent', 'name', 'status', 'start_ns', 'duration_ns', 'tokens', 'cost_usd', 'on_critical_path_ns', 'findings', 'error']];
  for (const i of list) {
    const held = M.path.get(i), t0 = BigInt(M.P.t0_ns);
    rows.push([M.id[i], M.parent[i] < 0 ? '' : M.id[M.parent[i]], M.P.kinds[M.kind[i]].id, M.P.agents[M.agent[i]], M.text(i), M.P.statuses[M.status[i]], M.P.timed === false ? '' : String(t0 + BigInt(Math.round(M.start[i]))), M.P.timed === false ? '' : M.dur[i], M.tokens[i], M.flags[i] & UNPRICED ? '' : M.cost[i],
      held ? held.reduce((sum, [p, q]) => sum + q - p, 0) : 0, M.P.findings.filter((f, k) => M.found[k].has(i)).map((f) => f.tag).join('; '), M.P.errors[M.id[i]] || '']);
  }
  return rows.map((row) => row.map(csvCell).join(',')).join('\r\n') + '\r\n';
}
/* the rectangles of `layout()` that are in view, as a still picture */
function spansSvg(M, drawn, paint, colours) {
  const names = drawn.mode === 'waterfall' ? 260 : 0, seen = drawn.rects.map((r) => ({...r, x: r.x - drawn.left + names})).filter((r) => r.x + r.w >= names && r.x <= names + drawn.width);
  const tall = seen.reduce((y, r) => Math.max(y, r.y + r.h), 0) + 8, wide = names + drawn.width + 8;
  const out = [`<svg xmlns="http://www.w3.org/2000/svg" width="${wide.toFixed(0)}" height="${tall}" viewBox="0 0 ${wide.toFixed(0)} ${tall}" font-family="Inter, system-ui, sans-serif" font-size="11"><rect width="100%" height="100%" fill="${colours.bg}"/>`];
  for (const r of seen) {
    const i = M.index.get(r.id), c = paint(i), x = Math.max(names, r.x), w = Math.max(0.8, Math.min(r.x + r.w, names + drawn.width) - x), text = `${M.P.kinds[M.kind[i]].glyph} ${M.text(i)}`;
    const mark = M.mark[i] < 0 ? '' : ` stroke="${colours[M.P.findings[M.mark[i]].severity]}" stroke-dasharray="4 3"`;
    out.push(`<g><title>${xml(`${M.text(i)} · ${M.P.timed === false ? fmtPlace(M.start[i]) : fmtTime(M.dur[i])} · span ${r.id}`)}</title><rect x="${x.toFixed(1)}" y="${r.y + 3}" width="${w.toFixed(1)}" height="${r.h - 6}" rx="2" fill="${M.leaf(i) ? c.solid : c.pale}"${mark}/>`);
    const room = names ? 40 - Math.min(r.depth, 12) : Math.floor((w - 6) / 6), short = text.length > room ? text.slice(0, Math.max(0, room - 1)) + '…' : text;
    if (room > 3) out.push(`<text x="${names ? 6 + Math.min(r.depth, 12) * 10 : (x + 4).toFixed(1)}" y="${r.y + r.h / 2 + 4}" fill="${names || !M.leaf(i) ? colours.fg : c.on}">${xml(short)}</text>`);
    out.push('</g>');
  }
  return out.join('') + '</svg>';
}
