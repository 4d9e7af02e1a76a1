export function mountTrace(element, payload, options = {}) {
  const opt = {mode: 'waterfall', weight: 'time', selected: null, finding: null, height: 560, ...options};
  const sheet = new CSSStyleSheet(); sheet.replaceSync((payload.css || '') + STYLE);
  const rootNode = element.getRootNode(), sheetRoot = rootNode.adoptedStyleSheets ? rootNode : document;
  sheetRoot.adoptedStyleSheets = [...sheetRoot.adoptedStyleSheets, sheet];
  let M = model(payload), vis = [], sel = -1, hits = null, query = '', frame = 0, drag = null, brush = null, colours = null, colourKey = '', widths = new Map(), anchor = 0;
  const folded = new Set(), opened = new Set(), view = {time: null, cost: null, tokens: null};   /* zoom range per weight; null = all */

  /* ---- page elements ---- */
  const host = el('div', 'th tv'); host.style.maxHeight = `${opt.height}px`;
  const bar = el('div', 'tv-bar'), seg = el('span', 'tv-seg'), wseg = el('span', 'tv-seg'), input = el('input'), hint = el('span', 'tv-mut tv-num'), info = el('span', 'tv-mut tv-num');
  const mini = el('canvas'), head = el('div', 'tv-head'), scroll = el('div', 'tv-scroll'), note = el('div', 'tv-note'), tip = el('div', 'tv-tip'), help = el('div', 'tv-help'), live = el('div', 'hidden'), probe = el('span', 'hidden');
  const rowsBox = el('div', 'tv-rows'), flame = el('canvas'), ruler = el('canvas'), empty = el('div', 'tv-empty', 'No spans yet. They appear here as soon as the first one is recorded.');
  const button = (parent, text, title, act) => { const b = el('button', '', text); b.type = 'button'; b.title = title; b.onclick = act; parent.append(b); return b; };
  const modeButtons = {waterfall: button(seg, 'Waterfall', 'Tree table with bars over time (v)', () => setMode('waterfall')), flame: button(seg, 'Flame', 'Flame graph (v)', () => setMode('flame'))};
  const WIDTHS = {time: ['Time', 'in order of time'], work: ['Left-heavy', 'work, heaviest first; what ran side by side adds up'], cost: ['Cost', 'cost, heaviest first'], tokens: ['Tokens', 'tokens, heaviest first']};
  const weightButtons = Object.fromEntries(Object.entries(WIDTHS).map(([w, [name, what]]) => [w, button(wseg, name, `Flame graph: ${what}`, () => { opt.weight = w; setMode('flame'); })]));
  seg.setAttribute('role', 'group'); seg.setAttribute('aria-label', 'View'); wseg.setAttribute('role', 'group'); wseg.setAttribute('aria-label', 'Width of the flame graph');
  input.type = 'search'; input.placeholder = 'Find span  ( / )'; input.setAttribute('aria-label', 'Find span by name, agent, kind or id');
  live.setAttribute('aria-live', 'polite'); mini.setAttribute('role', 'img'); mini.setAttribute('aria-label', 'Overview of the whole run; drag to zoom'); mini.style.cursor = 'crosshair';
  bar.append(seg, wseg, input, hint, el('span', 'tv-sp'), info);
  const errorButton = button(bar, '', 'Next error (e)', () => jump(M.errors)), findButton = button(bar, '', 'Next loop or other finding (l)', () => jump(M.marked)), pathButton = button(bar, 'Path', 'Critical path: what made the run take as long as it did (c)', () => togglePath()), idleButton = button(bar, 'Idle', 'Time in which nothing worked: folded, or to scale (g)', () => toggleIdle());
  button(bar, 'Reset', 'Whole run (0)', () => setRange(null)); button(bar, 'CSV', 'Save the spans in view as a table: those in the zoomed range, and of a search its matches', () => save('csv')); button(bar, 'SVG', 'Save the picture in view', () => save('svg')); const helpButton = button(bar, '?', 'Keyboard (?)', () => toggleHelp());
  help.hidden = true; help.setAttribute('role', 'dialog'); help.setAttribute('aria-label', 'Keyboard'); const keys = el('dl'); for (const [k, t] of KEYS) keys.append(el('dt', '', k), el('dd', '', t)); help.append(el('b', '', 'Keyboard'), keys);
  scroll.tabIndex = 0; flame.setAttribute('role', 'img');
  host.append(bar, mini, head, scroll, note, tip, help, live, probe); element.append(host);

  /* ---- colours: read from the CSS variables, again whenever the theme changes ---- */
  function readColours() {
    const own = getComputedStyle(host), key = own.color + own.backgroundColor;
    if (key === colourKey) return colours;
    colourKey = key;
    const value = (css) => { probe.style.color = css; return getComputedStyle(probe).color; };
    const kinds = M.P.kinds.map((k) => ({solid: value(`var(--th-k-${k.id}, var(--th-k-other))`), pale: value(`color-mix(in srgb, var(--th-k-${k.id}, var(--th-k-other)) 36%, var(--th-bg))`), on: value(`var(--th-on-${k.id}, var(--th-on-other))`)}));
    const error = value('var(--th-error)');
    colours = {fg: value('var(--th-fg)'), bg: value('var(--th-bg)'), muted: value('var(--th-muted)'), line: value('var(--th-line)'), accent: value('var(--th-accent)'), kinds,
      error: {solid: error, pale: value('color-mix(in srgb, var(--th-error) 36%, var(--th-bg))'), on: value('var(--th-on-workflow)')}, critical: error, warning: value('var(--th-warning)'), info: value('var(--th-muted)')};
    return colours;
  }
  const paint = (i) => M.status[i] === ERROR ? colours.error : colours.kinds[M.kind[i]];
  const severity = (i) => M.P.findings[M.mark[i]].severity;
  const glyph = (i) => M.status[i] === ERROR ? '✕' : M.status[i] === RUNNING ? '◌' : M.P.kinds[M.kind[i]].glyph;

  /* ---- geometry ---- */
  const width = () => host.clientWidth, timed = () => M.P.timed !== false;
  const weight = () => opt.mode === 'flame' ? opt.weight : 'time';
  const range = (w = weight()) => view[w] || [0, layoutFor(M, w).total];
  function setRange(r, w = weight()) {
    const T = layoutFor(M, w).total;
    if (r) {
      const span = Math.min(T, Math.max(T * 1e-7, w === 'time' ? 100 : 0, r[1] - r[0])), a = Math.max(0, Math.min(T - span, r[0]));
      view[w] = span >= T ? null : [a, a + span];
    } else view[w] = null;
    if (opt.onState) opt.onState({mode: opt.mode, weight: opt.weight, range: view[w]});
    request();
  }
  const zoom = (factor, at = 0.5) => { const [a, b] = range(), c = a + (b - a) * at, span = (b - a) * factor; setRange([c - span * at, c + span * (1 - at)]); };
  const pan = (part) => { const [a, b] = range(), d = (b - a) * part; setRange([a + d, b + d]); };
  const nameWidth = () => Math.max(180, Math.min(440, width() * 0.36)), columns = () => width() < 620 ? 1 : 3;
  const track = () => { const x = nameWidth() + 72 * columns(); return {x, w: Math.max(60, width() - 2 - x - 8 - (scroll.offsetWidth - scroll.clientWidth))}; };
  function context(canvas, w, h) {
    const d = Math.max(1, window.devicePixelRatio || 1);
    if (canvas.width !== Math.round(w * d) || canvas.height !== Math.round(h * d)) { canvas.width = Math.round(w * d); canvas.height = Math.round(h * d); canvas.style.width = `${w}px`; canvas.style.height = `${h}px`; }
    const g = canvas.getContext('2d'); g.setTransform(d, 0, 0, d, 0, 0); g.clearRect(0, 0, w, h); g.font = FONT; g.textBaseline = 'middle';
    return g;
  }
  function textWidth(g, text) { let w = widths.get(text); if (w === undefined) { w = g.measureText(text).width; if (widths.size > 20000) widths.clear(); widths.set(text, w); } return w; }
  function fitText(g, text, room) {
    if (room < 12) return '';
    const full = textWidth(g, text);
    return full <= room ? text : text.slice(0, Math.max(1, Math.floor(text.length * (room - 8) / full))) + '…';
  }

  /* ---- drawing ---- */
  function request() { if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); }); }
  function draw() {
    if (!host.isConnected || !width()) return;
    const t = performance.now(); readColours();
    const drawn = !M.n ? 0 : opt.mode === 'flame' ? drawFlame() : drawWaterfall();
    drawMini(); drawHint();
    host.dataset.drawMs = (performance.now() - t).toFixed(1); host.dataset.drawn = drawn; host.dataset.mode = opt.mode; host.dataset.weight = opt.weight; host.dataset.selected = sel >= 0 ? M.id[sel] : '';
  }
  function drawRuler(g, x, w) {
    const [a, b] = range(), k = w / (b - a), L = layoutFor(M, weight()), step = Math.max(timed() || !isTime(weight()) ? 0 : 1e9, tickStep(1 / k, Math.min(96, w / 2), timed() && weight() === 'time')), places = [];
    for (const [at, value, room] of ticks(M, L, weight(), a, b, step)) {
      const px = x + (at - a) * k; places.push(px); if (!g) continue;
      const text = tickText(value, step, weight(), timed());
      g.fillStyle = colours.line; g.fillRect(px, 0, 1, RULER); g.fillStyle = colours.muted;
      if (px + textWidth(g, text) + 4 < x + w && textWidth(g, text) + 6 < room * k) g.fillText(text, px + 4, RULER / 2);
    }
    if (g) for (const {x0, x1, ns} of gapsInView(w)) { const text = fmtTime(ns), fits = textWidth(g, text) + 4 < x1 - x0; g.fillStyle = colours.muted; g.fillText(fits ? text : '≈', x + (x0 + x1 - textWidth(g, fits ? text : '≈')) / 2, RULER / 2); }
    return places;
  }
  /* the folded gaps between the edges of a track `w` wide, in px from its left edge */
  function gapsInView(w) {
    const axis = weight() === 'time' && layoutFor(M, 'time').axis; if (!axis || !axis.gaps.length) return [];
    const [a, b] = range(), k = w / (b - a);
    return axis.gaps.filter((g) => g.x1 > a && g.x0 < b).map((g) => ({x0: Math.max(0, (g.x0 - a) * k), x1: Math.min(w, (g.x1 - a) * k), ns: g.to - g.from}));
  }
  let miniCache = null, miniKey = '';
  function drawMini() {
    const w = width() - 2, g = context(mini, w, MINI), W = weight(), L = layoutFor(M, W), key = [W, w, colourKey, M.n, L.total, M.P.version, M.stamp].join();
    if (!M.n) return;
    if (key !== miniKey) {
      miniKey = key; miniCache = miniCache || el('canvas'); const c = context(miniCache, w, MINI), rh = Math.min(8, (MINI - 6) / L.rows.length);
      L.rows.forEach((row, r) => { let last = -1; for (const i of row) { let x = L.x0[i] / L.total * w; const e = Math.max(x + 1, L.x1[i] / L.total * w); if (e <= last + 0.5) continue; x = Math.max(x, last); c.fillStyle = M.leaf(i) || M.status[i] === ERROR ? paint(i).solid : paint(i).pale; c.fillRect(x, 3 + r * rh, Math.max(0.8, e - x), Math.max(0.8, rh - 0.5)); last = e; } });
      for (const i of M.marked) { const x = L.x0[i] / L.total * w; c.fillStyle = colours[severity(i)]; c.fillRect(x, MINI - 3, Math.max(1.5, (L.x1[i] - L.x0[i]) / L.total * w), 2.5); }
    }
    g.drawImage(miniCache, 0, 0, w, MINI);
    const [a, b] = range(), xa = a / L.total * w, xb = b / L.total * w;
    g.globalAlpha = 0.66; g.fillStyle = colours.bg; g.fillRect(0, 0, xa, MINI); g.fillRect(xb, 0, w - xb, MINI); g.globalAlpha = 1;
    if (view[W]) { g.strokeStyle = colours.accent; g.lineWidth = 1.5; g.strokeRect(xa + 0.75, 0.75, Math.max(2, xb - xa - 1.5), MINI - 1.5); }
    g.fillStyle = colours.line; g.fillRect(0, MINI - 1, w, 1);
  }
  function hatch(g, x, y, w, h, ink = colours.bg) {
    g.save(); g.beginPath(); g.rect(x, y, w, h); g.clip(); g.strokeStyle = ink; g.lineWidth = 1.6; g.globalAlpha *= 0.8; g.beginPath();
    for (let k = x - h - ((x - h) % 6); k < x + w; k += 6) { g.moveTo(k, y + h); g.lineTo(k + h, y); } g.stroke(); g.restore();
  }
  function drawFlame() {
    const W = opt.weight, L = layoutFor(M, W), w = scroll.clientWidth, [a, b] = range(), k = w / (b - a), eps = 0.5 / k, tagged = new Map();
    drawRuler(context(ruler, w, RULER), 0, w);
    const total = Math.max(1, L.rows.length) * FLAME_ROW + 8, top = scroll.scrollTop, h = Math.max(FLAME_ROW, scroll.clientHeight);
    rowsBox.style.height = `${total}px`; flame.style.transform = `translateY(${top}px)`;
    const g = context(flame, w, h); let n = 0;
    g.fillStyle = colours.line; for (const x of drawRuler(null, 0, w)) g.fillRect(x, 0, 1, h);
    const from = Math.max(0, Math.floor(top / FLAME_ROW)), to = Math.min(L.rows.length, Math.ceil((top + h) / FLAME_ROW));
    for (let r = from; r < to; r++) {
      const row = L.rows[r], y = r * FLAME_ROW - top + 3, bh = FLAME_ROW - 3; let last = -1, mark = null;
      const outline = () => { if (mark) outlineFinding(g, mark, y, bh, w, tagged); mark = null; };
      /* intervals of one row do not overlap, so ends ascend with starts */
      for (let j = upper(row, a, (i) => L.x1[i]); j < row.length; j++) {
        const i = row[j]; if (L.x0[i] > b) break;
        let x = (L.x0[i] - a) * k, e = (L.x1[i] - a) * k;
        if (e - x < 1) { if (e < last + 0.75) continue; e = x + 1; }
        x = Math.max(x, last, -3); e = Math.min(e, w + 3); last = e; n++;
        const bw = Math.max(0.7, e - x - (e - x > 3 ? 1 : 0)), c = paint(i), parts = bw > 4 ? ownParts(M, L, i, W, eps) : null;
        g.globalAlpha = hits && !hits.set.has(i) ? 0.25 : 1;
        g.fillStyle = !parts || M.leaf(i) ? c.solid : c.pale; g.fillRect(x, y, bw, bh);
        if (parts && !M.leaf(i)) { g.fillStyle = c.solid; for (const [p, q] of parts) { const px = Math.max(x, (p - a) * k), pw = Math.min(x + bw, (q - a) * k) - px; if (pw > 0.4) g.fillRect(px, y, pw, bh); } }
        let clear = x;
        if (bw > 30) {
          const left = Math.max(x, 0), text = fitText(g, `${glyph(i)} ${M.text(i)}`, Math.min(x + bw, w) - left - 8);
          if (text) clear = left + textWidth(g, text) + 10;
          g.fillStyle = M.leaf(i) ? c.on : colours.fg; g.fillText(text, left + 4, y + bh / 2 + 0.5);
          if (!M.leaf(i) && parts.length && text) { g.save(); g.beginPath(); for (const [p, q] of parts) g.rect((p - a) * k, y, (q - p) * k, bh); g.clip(); g.fillStyle = c.on; g.fillText(text, left + 4, y + bh / 2 + 0.5); g.restore(); }
        }
        if (M.status[i] === RUNNING && clear < x + bw) hatch(g, clear, y, x + bw - clear, bh);
        /* neighbours of one finding share an outline, so that 47 narrow bars stay readable */
        if (mark && (mark.k !== M.mark[i] || (bw > 40 && mark.x1 < x - 3))) outline();
        if (M.mark[i] >= 0) { if (mark && x - mark.x1 < 16) mark.x1 = x + bw; else { outline(); mark = {k: M.mark[i], x0: x, x1: x + bw}; } }
        if (W === 'time' && M.path.has(i)) { g.fillStyle = colours.fg; for (const [p, q] of pathParts(i, a, k, w)) g.fillRect(p, y + bh, q - p, 2); }
        if (i === sel) { g.strokeStyle = colours.fg; g.lineWidth = 2; g.strokeRect(x, y - 1, bw, bh + 2); }
      }
      outline();
    }
    /* a finding whose marks are all too narrow for its tag gets it beside the first of them */
    for (const [k, at] of [...tagged]) if (at !== 'drawn') outlineFinding(g, {k, x0: at.x0, x1: at.x1}, at.y, at.h, w, tagged, true);
    g.globalAlpha = 1;
    for (const {x0, x1} of gapsInView(w)) { g.globalAlpha = 0.5; hatch(g, x0, 0, x1 - x0, h, colours.line); }
    g.globalAlpha = 1;
    return n;
  }
  function outlineFinding(g, {k, x0, x1}, y, h, w, tagged, beside = false) {
    if (x1 - x0 < 7) { const m = (x0 + x1) / 2; x0 = m - 3.5; x1 = m + 3.5; }   /* an instant must not go unseen */
    const finding = M.P.findings[k], a = Math.max(x0, -4), b = Math.min(x1, w + 4);
    g.globalAlpha = 1; g.strokeStyle = colours[finding.severity]; g.lineWidth = 1.8; g.setLineDash([4, 3]); g.strokeRect(a + 0.5, y - 0.5, b - a - 1, h + 1); g.setLineDash([]);
    const tw = textWidth(g, finding.tag) + 10; if (tagged.get(k) === 'drawn') return;
    let x = Math.min(b, w) - tw - 2;
    if (b - a < tw + 4) { if (!tagged.has(k)) tagged.set(k, {x0, x1, y, h}); if (!beside) return; x = b + 4 + tw > w ? a - tw - 4 : b + 4; } else if (x < Math.max(a, 0)) return;
    tagged.set(k, 'drawn');
    g.fillStyle = colours.bg; g.fillRect(x, y + 1, tw, h - 2); g.strokeRect(x + 0.5, y + 1.5, tw - 1, h - 3); g.fillStyle = colours[finding.severity]; g.fillText(finding.tag, x + 5, y + h / 2 + 0.5);
  }
  function makeRow() {
    const r = el('div', 'tv-r'), nm = el('div', 'tv-nm'), tl = el('div', 'tv-tl'), parts = {r, nm, indent: el('i', 'tv-in'), twist: el('span', 'tv-tw'), glyph: el('span', 'tv-gl'), label: el('span'), agent: el('span', 'tv-mut'), rail: el('i', 'tv-rail'), error: el('span', 'tv-tag tv-critical'), tag: el('span', 'tv-tag'), fold: el('span', 'tv-tag tv-mut'), flag: el('span', 'tv-tag tv-mut'), time: el('div', 'tv-c'), tokens: el('div', 'tv-c tv-mut'), cost: el('div', 'tv-c tv-mut'), bar: el('i', 'tv-bar1'), path: el('i', 'tv-path')};
    r.setAttribute('role', 'row'); for (const cell of [nm, parts.time, parts.tokens, parts.cost, tl]) cell.setAttribute('role', 'gridcell');
    nm.append(parts.rail, parts.indent, parts.twist, parts.glyph, parts.label, parts.tag, parts.error, parts.agent, parts.fold, parts.flag); tl.append(parts.bar, parts.path); r.append(nm, parts.time, parts.tokens, parts.cost, tl); rowsBox.append(r);
    return parts;
  }
  let pool = [], header = null;
  const costText = (i, words = fmtCost) => M.total_cost[i] ? (M.flags[i] & (UNPRICED | UNPRICED_BELOW) ? '≥ ' : '') + words(M.total_cost[i]) : M.flags[i] & (UNPRICED | UNPRICED_BELOW) ? 'unknown' : '';
  function put(node, text) { if (node.textContent !== text) node.textContent = text; }
  function show(node, text) { node.hidden = !text; if (text) put(node, text); }
  function drawWaterfall() {
    const nw = nameWidth(), cols = columns(), {x: tx, w: tw} = track(), [a, b] = range(), k = tw / (b - a), L = layoutFor(M, 'time');
    header[0].style.width = `${nw}px`; header[2].hidden = header[3].hidden = cols < 3; drawRuler(context(ruler, tw, RULER), 0, tw); head.style.paddingLeft = 0;
    rowsBox.style.height = `${vis.length * ROW}px`;
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW) - OVERSCAN), last = Math.min(vis.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / ROW) + OVERSCAN);
    while (pool.length < last - first) pool.push(makeRow());
    scroll.setAttribute('aria-rowcount', vis.length); anchor = first; drawGaps(tx, tw);
    const firstSeen = Math.floor(scroll.scrollTop / ROW);
    pool.forEach((p, slot) => {
      const row = first + slot; p.r.hidden = row >= last; p.r.style.display = row >= last ? 'none' : ''; if (row >= last) { p.r.removeAttribute('id'); return; }
      const i = vis[row], sum = closedRounds(i), c = paint(i), kind = M.P.kinds[M.kind[i]].id, lead = M.depth[i] < 1 || kind === 'agent' || kind === 'workflow', agent = M.P.agents[M.agent[i]];
      p.r.style.top = `${row * ROW}px`; p.r.dataset.i = i; p.r.dataset.span = M.id[i]; p.r.id = `tv-${M.uid}-${i}`;
      p.r.classList.toggle('tv-dim', Boolean(hits && !hits.set.has(i)));
      p.r.setAttribute('aria-level', M.depth[i] + 1); p.r.setAttribute('aria-rowindex', row + 1); p.r.setAttribute('aria-selected', i === sel);
      if (M.leaf(i) && !sum) p.r.removeAttribute('aria-expanded'); else p.r.setAttribute('aria-expanded', !sum && !folded.has(M.id[i]));
      const indent = Math.min(M.depth[i], 24) * 14; p.nm.style.width = `${nw}px`; p.nm.style.paddingLeft = `${8 + indent}px`; p.indent.style.width = `${indent}px`;
      put(p.twist, sum ? '▸' : M.leaf(i) ? '' : folded.has(M.id[i]) ? '▸' : '▾'); put(p.glyph, sum ? '⟳' : M.P.kinds[M.kind[i]].glyph); p.glyph.style.color = sum ? colours[M.P.findings[sum.finding].severity] : c.solid; put(p.label, sum ? `${group(sum.rounds)} more ${sum.rounds === 1 ? 'round' : 'rounds'} · ${group(sum.spans)} spans` : M.text(i)); p.label.className = lead && !sum ? 'tv-b' : '';
      if (p.r.classList.contains('tv-sum') !== Boolean(sum)) p.r.classList.toggle('tv-sum'); put(p.agent, !sum && agent && !NAMES_AGENT.has(kind) ? `  ${agent}` : '');
      show(p.error, sum ? '' : M.status[i] === ERROR ? '✕ error' : M.status[i] === INTERRUPTED ? '⊗ interrupted' : M.status[i] === RUNNING ? '◌ running' : ''); p.error.className = `tv-tag ${M.status[i] === ERROR ? 'tv-critical' : M.status[i] === RUNNING ? 'tv-live' : 'tv-warning'}`;
      drawMark(p, i, row > firstSeen ? vis[row - 1] : -1, sum);
      show(p.fold, sum ? '' : folded.has(M.id[i]) ? `+${group(M.next[i] - i - 1)}` : M.rounds.has(i) ? `fold ${group(M.rounds.get(i).rounds)} rounds` : ''); if (M.rounds.size) p.fold.classList.toggle('tv-act', !sum && M.rounds.has(i)); show(p.flag, M.flags[i] & DUPLICATE ? 'repeat, not counted' : M.flags[i] & ORPHAN ? 'parent missing' : '');
      put(p.time, timed() ? fmtTime(sum ? sum.ns : M.dur[i]) : M.depth[i] ? fmtPlace(M.start[i]) : ''); p.tokens.hidden = p.cost.hidden = cols < 3; p.tokens.style.display = p.cost.style.display = cols < 3 ? 'none' : '';
      const tokens = sum ? sum.tokens : M.total_tokens[i]; put(p.tokens, tokens ? brief(tokens) : ''); put(p.cost, sum ? (sum.usd ? (sum.unpriced ? '≥ ' : '') + briefCost(sum.usd) : sum.unpriced ? 'unknown' : '') : costText(i, briefCost));
      const x0 = (L.x0[i] - a) * k, x1 = ((sum ? L.axis.at(sum.end) : L.x1[i]) - a) * k, off = x0 > tw || x1 < 0; p.bar.style.display = off ? 'none' : ''; drawPath(p.path, i, a, k, tw);
      if (off) return;
      const left = Math.max(x0, -4), bw = Math.max(2, Math.min(x1, tw + 4) - left); p.bar.style.left = `${left}px`; p.bar.style.width = `${bw}px`;
      const fill = sum ? `repeating-linear-gradient(90deg, ${c.solid} 0 4px, ${c.pale} 4px 9px)` : M.leaf(i) || bw < 6 ? c.solid : gradient(i, L, c, left, bw, a, k);
      p.bar.style.background = M.status[i] === RUNNING ? `repeating-linear-gradient(45deg, transparent 0 4px, ${colours.bg} 4px 6px), ${fill}` : fill;
      p.bar.classList.toggle('tv-f', M.mark[i] >= 0); p.bar.style.outlineColor = M.mark[i] >= 0 ? colours[severity(i)] : '';
    });
    if (sel >= 0) scroll.setAttribute('aria-activedescendant', `tv-${M.uid}-${sel}`); else scroll.removeAttribute('aria-activedescendant');
    return last - first;
  }
  /* a finding is a rail along its rows, with its name and cost where it begins */
  function drawMark(p, i, above, sum) {
    const k = sum ? sum.finding : M.rail[i], level = k >= 0 ? M.P.findings[k].severity : '';
    const look = `tv-rail tv-${level}`; if (p.rail.className !== look) p.rail.className = look; if (p.rail.hidden !== k < 0) p.rail.hidden = k < 0;
    const goesOn = above >= 0 && (closedRounds(above) ? closedRounds(above).finding : M.rail[above]) === k;
    if (k < 0 || goesOn) { show(p.tag, ''); return; }
    show(p.tag, M.P.findings[k].tag); p.tag.className = `tv-tag tv-act tv-${level}`; p.tag.title = M.P.findings[k].title;
  }
  let gapPool = [];
  function drawGaps(x, w) {
    const gaps = gapsInView(w);
    while (gapPool.length < gaps.length) { const div = el('div', 'tv-gap'); rowsBox.append(div); gapPool.push(div); }
    gapPool.forEach((div, n) => { const gap = gaps[n]; div.hidden = !gap; if (!gap) return; div.style.left = `${x + gap.x0}px`; div.style.width = `${gap.x1 - gap.x0}px`; });
  }
  /* the critical path: an ink line below the bar, over those parts of it during which the run waited for this span */
  function pathParts(i, a, k, w) {
    const out = [];
    for (const [p, q] of M.path.get(i) || []) {
      const at = layoutFor(M, 'time').axis.at, x = (at(p) - a) * k, e = Math.max(x + 1.5, (at(q) - a) * k), last = out[out.length - 1];
      if (e < 0 || x > w) continue;
      if (last && x - last[1] < 1) last[1] = e; else out.push([Math.max(0, x), Math.min(w, e)]);
    }
    return out;
  }
  function drawPath(node, i, a, k, w) {
    const parts = pathParts(i, a, k, w); node.style.display = parts.length ? '' : 'none'; if (!parts.length) return;
    const ink = colours.fg, stops = parts.length > 120 ? [`${ink} ${parts[0][0]}px`, `${ink} ${parts[parts.length - 1][1]}px`, `transparent ${parts[parts.length - 1][1]}px`]
      : parts.flatMap(([x, e]) => [`transparent ${x}px`, `${ink} ${x}px`, `${ink} ${e}px`, `transparent ${e}px`]);
    node.style.background = `linear-gradient(90deg, transparent ${parts[0][0]}px, ${stops.join(', ')})`;
  }
  function gradient(i, L, c, left, bw, a, k) {
    const parts = ownParts(M, L, i, 'time', 0.7 / k); if (parts.length > 60) return c.pale;
    const stops = []; for (const [p, q] of parts) { const x = Math.max(0, (p - a) * k - left), e = Math.min(bw, (q - a) * k - left); if (e > x) stops.push(`${c.pale} ${x}px`, `${c.solid} ${x}px`, `${c.solid} ${e}px`, `${c.pale} ${e}px`); }
    return stops.length ? `linear-gradient(90deg, ${[`${c.pale} 0`, ...stops].join(', ')})` : c.pale;
  }
  function drawHint() {
    if (!hits) { put(hint, ''); return; }
    let text = hits.finding !== undefined ? `${group(hits.list.length)} ${hits.list.length === 1 ? 'span' : 'spans'} of ${M.P.findings[hits.finding].tag} · n next, Esc all` : hits.path ? `${group(hits.list.length)} on the critical path` : hits.list.length === 1 ? '1 match' : `${group(hits.list.length)} matches`;
    if (opt.mode === 'waterfall' && vis.length) {
      const top = vis[Math.min(vis.length - 1, Math.floor(scroll.scrollTop / ROW))], bottom = vis[Math.min(vis.length - 1, Math.floor((scroll.scrollTop + scroll.clientHeight - 1) / ROW))];
      const above = upper(hits.list, top - 1), below = hits.list.length - upper(hits.list, M.next[bottom] === bottom + 1 || !folded.has(M.id[bottom]) ? bottom : M.next[bottom] - 1);
      if (view.time) { const [a, b] = view.time; let out = 0; const L = layoutFor(M, 'time'); for (const i of hits.list) if (L.x0[i] > b || L.x1[i] < a) out++; if (out) text += ` · ${group(out)} outside the zoom`; }
      let hidden = 0; for (const fold of M.rounds.values()) if (closedRounds(fold.at)) hidden += upper(hits.list, fold.to - 1) - upper(hits.list, fold.at);
      if (hidden) text += ` · ${group(hidden)} in folded rounds`;
      if (above) text += ` · ${group(above)} above ↑`; if (below > hidden) text += ` · ${group(below - hidden)} below ↓`;
    }
    put(hint, text);
  }

  /* ---- structure that changes with mode or data ---- */
  const closedRounds = (i) => { const fold = M.rounds.get(i); return fold && !opened.has(M.id[i]) ? fold : null; };
  function rebuild() { vis = []; for (let i = 0; i < M.n;) { vis.push(i); const fold = closedRounds(i); i = fold ? fold.to : folded.has(M.id[i]) ? M.next[i] : i + 1; } }
  function openRounds(i, on = true) { on ? opened.add(M.id[i]) : opened.delete(M.id[i]); rebuild(); request(); }
  function setMode(mode, quiet) {
    opt.mode = mode; showTip(-1); head.replaceChildren(); scroll.replaceChildren(M.n ? rowsBox : empty); rowsBox.replaceChildren(); rowsBox.style.height = ''; pool = []; gapPool = []; scroll.scrollTop = 0;
    for (const [m, b] of Object.entries(modeButtons)) b.setAttribute('aria-pressed', m === mode);
    for (const [w, b] of Object.entries(weightButtons)) b.setAttribute('aria-pressed', mode === 'flame' && w === opt.weight);
    ruler.style.flex = 'none';
    if (mode === 'flame') {
      head.append(ruler); rowsBox.append(flame); scroll.setAttribute('role', 'group'); scroll.removeAttribute('aria-activedescendant'); scroll.removeAttribute('aria-rowcount');
      flame.setAttribute('aria-label', `Flame graph by ${opt.weight}, ${group(M.n)} spans. The waterfall shows the same spans as a table.`); flame.style.position = 'absolute';
    } else {
      header = ['Span', timed() ? 'Duration' : 'Message', 'Tokens', 'Cost'].map((t, k) => { const c = el('div', k ? 'tv-c' : '', t); c.style.flex = 'none'; head.append(c); return c; }); head.append(ruler);
      scroll.setAttribute('role', 'treegrid'); scroll.setAttribute('aria-label', `Spans of run ${M.P.trace_id}`);
    }
    drawNote();
    if (!quiet && opt.onState) opt.onState({mode: opt.mode, weight: opt.weight, range: view[weight()]});
    draw(); if (sel >= 0) reveal(sel);
  }
  function drawNote() {
    const key = (css, text) => { const s = el('span', 'tv-key'), i = el('i'); i.style.background = css; s.append(i, document.createTextNode(text)); return s; };
    const items = M.P.kinds.map((k) => { const s = key(`var(--th-k-${k.id}, var(--th-k-other))`, `${k.glyph} ${k.word}`); return s; });
    if (opt.mode === 'flame') {
      items.push(key('linear-gradient(90deg, color-mix(in srgb, var(--th-fg) 30%, var(--th-bg)) 50%, var(--th-fg) 50%)', 'pale: in children, solid: own'));
      if (opt.weight !== 'time') { const L = layoutFor(M, opt.weight), left = M.n - L.drawn; items.push(el('span', '', `heaviest first${left ? `; ${group(left)} of ${group(M.n)} spans carry no ${opt.weight === 'work' ? 'time of their own' : opt.weight} and are not drawn` : ''}${opt.weight === 'cost' && M.flags.some((f) => f & UNPRICED) ? '; calls with an unknown price are missing' : ''}`)); }
    }
    note.replaceChildren(...items);
  }
  function drawCounts() {
    put(info, `${group(M.n)} ${M.n === 1 ? 'span' : 'spans'} · ${timed() ? fmtTime(M.P.duration_ns) : 'in order, no times recorded'}`); idleButton.hidden = !(M.P.idle || []).length; idleButton.setAttribute('aria-pressed', M.foldIdle); put(idleButton, `≈ ${fmtTime((M.P.idle || []).reduce((sum, [p, q]) => sum + q - p, 0))} idle`);
    put(errorButton, `✕ ${group(M.errors.length)}`); errorButton.disabled = !M.errors.length; errorButton.setAttribute('aria-label', `${M.errors.length} errors, go to the next`);
    put(findButton, `⟳ ${group(M.P.findings.length)}`); findButton.disabled = !M.marked.length; findButton.setAttribute('aria-label', `${M.P.findings.length} findings, go to the next span of one`); pathButton.disabled = !M.path.size; pathButton.setAttribute('aria-pressed', Boolean(hits && hits.path));
  }

  /* ---- what the reader does ---- */
  function select(i, quiet) {
    sel = i; if (i >= 0) live.textContent = `${M.text(i)}, ${M.P.kinds[M.kind[i]].word}, ${timed() ? fmtTime(M.dur[i]) : fmtPlace(M.start[i])}${M.status[i] === ERROR ? ', error' : ''}`;
    request(); if (!quiet && i >= 0 && opt.onSelect) opt.onSelect(M.id[i]);
  }
  function reveal(i) {
    let changed = false; for (let p = M.parent[i]; p >= 0; p = M.parent[p]) changed = folded.delete(M.id[p]) || changed;
    for (const fold of M.rounds.values()) if (fold.at < i && i < fold.to && !opened.has(M.id[fold.at])) { opened.add(M.id[fold.at]); changed = true; }
    if (changed) rebuild();
    const L = layoutFor(M, weight()), [a, b] = range(), y = opt.mode === 'waterfall' ? (upper(vis, i) - 1) * ROW : L.row[i] * FLAME_ROW, h = opt.mode === 'waterfall' ? ROW : FLAME_ROW;
    if (y < scroll.scrollTop || y + h > scroll.scrollTop + scroll.clientHeight) { if (opt.mode === 'waterfall') rowsBox.style.height = `${vis.length * ROW}px`; scroll.scrollTop = Math.max(0, y - scroll.clientHeight / 2); }
    if (L.x0[i] > b || L.x1[i] < a) { const c = (L.x0[i] + L.x1[i]) / 2; setRange([c - (b - a) / 2, c + (b - a) / 2]); }
    request();
  }
  function go(i) { if (i === undefined || i < 0) return; select(i); reveal(i); }
  function jump(list) { if (list.length) go(list[upper(list, sel)] ?? list[0]); }
  function fit() { if (sel < 0) return; const L = layoutFor(M, weight()), pad = (L.x1[sel] - L.x0[sel]) * 0.05; setRange([L.x0[sel] - pad, L.x1[sel] + pad]); }
  function toggle(i) { if (closedRounds(i)) { openRounds(i); return; } if (M.leaf(i)) return; folded.has(M.id[i]) ? folded.delete(M.id[i]) : folded.add(M.id[i]); rebuild(); request(); }
  function toggleHelp(on = help.hidden) { help.hidden = !on; helpButton.setAttribute('aria-expanded', on); }
  function search(text) {
    query = text.trim().toLowerCase(); hits = null; pathButton.setAttribute('aria-pressed', false);
    if (query) {
      const yes = (list) => list.map((t) => t.toLowerCase().includes(query)), labels = yes(M.P.labels), names = yes(M.P.names), agents = yes(M.P.agents), kinds = yes(M.P.kinds.map((k) => `${k.id} ${k.word}`)), states = yes(M.P.statuses), byId = /^[0-9a-f]{6,16}$/.test(query), list = [];
      for (let i = 0; i < M.n; i++) if (labels[M.label[i]] || names[M.name[i]] || agents[M.agent[i]] || kinds[M.kind[i]] || (M.status[i] !== OK && states[M.status[i]]) || (byId && M.id[i].startsWith(query))) list.push(i);
      hits = {list, set: new Set(list)};
    }
    request();
  }
  function togglePath(on = !(hits && hits.path)) {
    input.value = ''; search(''); if (!on) return;
    hits = {list: M.pathList, set: new Set(M.pathList), path: true}; pathButton.setAttribute('aria-pressed', true); request();
  }
  /* the spans of one finding, the others pale; null shows everything again */
  function showFinding(id) {
    opt.finding = id; const k = id ? M.P.findings.findIndex((f) => f.id === id) : -1;
    if (k < 0) { if (hits && hits.finding !== undefined) hits = null; } else { input.value = ''; query = ''; const list = [...M.found[k]].sort((a, b) => a - b); hits = {list, set: M.found[k], finding: k}; pathButton.setAttribute('aria-pressed', false); }
    request();
  }
  function clear() { const shown = opt.finding; toggleHelp(false); input.value = ''; search(''); opt.finding = null; if (shown && opt.onFinding) opt.onFinding(null); }
  function toggleIdle() {
    M.foldIdle = !M.foldIdle; delete M.layouts.time; view.time = null; miniKey = ''; drawCounts(); request(); if (sel >= 0) reveal(sel);
  }
  function save(kind) {
    const L = layoutFor(M, weight()), [a, b] = range(), list = [];
    for (let i = 0; i < M.n; i++) if (L.x1[i] >= a && L.x0[i] <= b && (!hits || hits.set.has(i))) list.push(i);
    const name = `${(M.P.trace_id || 'trace').slice(0, 12)}-${opt.mode}`;
    if (kind === 'csv') download(`${name}.csv`, 'text/csv', spansCsv(M, list)); else { readColours(); download(`${name}.svg`, 'image/svg+xml', spansSvg(M, layout(), paint, colours)); }
  }
  function pick(x, y) {
    const L = layoutFor(M, weight()), row = L.rows[Math.floor((y + scroll.scrollTop) / FLAME_ROW)], [a, b] = range(), w = scroll.clientWidth, at = a + x / w * (b - a), slack = 2 / w * (b - a);
    if (!row) return -1;
    const i = row[Math.max(0, upper(row, at + slack / 2, (j) => L.x0[j]) - 1)];
    return i !== undefined && L.x0[i] <= at + slack && at <= L.x1[i] + slack ? i : -1;
  }
  function showTip(i, event) {
    if (i < 0 || !event) { tip.style.display = 'none'; return; }
    const list = el('dl'), add = (k, v) => { if (v) list.append(el('dt', '', k), el('dd', '', v)); }, f = M.flags[i], T = M.P.duration_ns || 1;
    add('kind', M.P.kinds[M.kind[i]].word); add('agent', M.P.agents[M.agent[i]] + (f & INFERRED && M.P.agents[M.agent[i]] ? ' (derived)' : '')); add('status', M.P.statuses[M.status[i]]);
    add(timed() ? 'starts' : 'message', timed() ? `+${fmtTime(M.start[i])}` : fmtPlace(M.start[i])); add('duration', timed() && `${fmtTime(M.dur[i])} = ${(M.dur[i] / 1e6).toLocaleString('en-US', {maximumFractionDigits: 3})} ms, ${(M.dur[i] / T * 100).toFixed(1)} % of the run`); if (timed() && !M.leaf(i)) add('own time', fmtTime(ownParts(M, layoutFor(M, 'real'), i, 'real', 0).reduce((sum, [p, q]) => sum + q - p, 0)));
    add('tokens', M.total_tokens[i] ? group(M.total_tokens[i]) + (M.leaf(i) ? '' : ` with children, ${group(M.tokens[i])} own`) : ''); add('cost', costText(i) && costText(i) + (M.leaf(i) || f & UNPRICED ? '' : ` with children, ${fmtCost(M.cost[i])} own`));
    if (f & DUPLICATE) add('note', 'repeats another span, counted nowhere'); if (f & ORPHAN) add('note', 'its parent span never arrived'); add('error', M.P.errors[M.id[i]]);
    M.P.findings.forEach((finding, k) => { if (M.found[k].has(i)) add(finding.severity, finding.title); });
    const original = M.P.names[M.name[i]]; tip.replaceChildren(el('b', '', M.text(i)), ...(original === M.text(i) ? [] : [el('div', 'tv-mut', original)]), list); tip.style.display = 'block';
    const box = host.getBoundingClientRect(), x = event.clientX - box.left + 14, y = event.clientY - box.top + 16;
    tip.style.left = `${Math.max(4, Math.min(x, width() - tip.offsetWidth - 6))}px`; tip.style.top = `${y + tip.offsetHeight > host.clientHeight ? Math.max(4, y - tip.offsetHeight - 26) : y}px`;
  }
  const flameAt = (e) => { const box = flame.getBoundingClientRect(); return pick(e.clientX - box.left, e.clientY - box.top); };
  const rowAt = (e) => { const r = e.target.closest && e.target.closest('.tv-r'); return r ? Number(r.dataset.i) : -1; };
  scroll.addEventListener('scroll', request, {passive: true});
  scroll.addEventListener('pointermove', (e) => {
    if (drag) { if (Math.abs(e.clientX - drag.x) > 3) { drag.moved = true; showTip(-1); const d = (e.clientX - drag.x) / scroll.clientWidth * (drag.r[1] - drag.r[0]); setRange([drag.r[0] - d, drag.r[1] - d]); } return; }
    const i = opt.mode === 'flame' ? flameAt(e) : rowAt(e); flame.style.cursor = i >= 0 ? 'pointer' : view[weight()] ? 'grab' : 'default'; showTip(i, e);
  });
  scroll.addEventListener('pointerleave', () => showTip(-1));
  scroll.addEventListener('pointerdown', (e) => { if (opt.mode === 'flame' && e.button === 0 && e.target === flame) drag = {x: e.clientX, r: range(), moved: false}; });
  scroll.addEventListener('click', (e) => { const i = opt.mode === 'flame' ? (drag && drag.moved ? -1 : flameAt(e)) : rowAt(e); drag = null; if (i < 0) return;
    if (e.target.className.includes('tv-act') && M.rounds.has(i) && e.target.textContent.startsWith('fold ')) { openRounds(i, false); return; }
    const marked = closedRounds(i) && opt.mode === 'waterfall' ? closedRounds(i).finding : M.rail[i];
    if (e.target.className.includes('tv-act') && marked >= 0) { const id = M.P.findings[marked].id; select(i, true); showFinding(id); if (opt.onFinding) opt.onFinding(id, M.id[i]); else if (opt.onSelect) opt.onSelect(M.id[i]); return; }
    if (opt.mode === 'waterfall' && closedRounds(i)) { openRounds(i); return; }
    if (e.target.className === 'tv-tw' && !M.leaf(i)) toggle(i); else select(i);
  });
  scroll.addEventListener('dblclick', (e) => { const i = opt.mode === 'flame' ? flameAt(e) : rowAt(e); if (i >= 0) { select(i, true); fit(); } });
  scroll.addEventListener('wheel', (e) => {
    const side = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX; if (!(e.ctrlKey || e.metaKey) && !side) return;
    e.preventDefault(); const box = scroll.getBoundingClientRect(), t = opt.mode === 'flame' ? {x: 0, w: scroll.clientWidth} : track();
    if (e.ctrlKey || e.metaKey) zoom(Math.exp(e.deltaY * 0.002), Math.max(0, Math.min(1, (e.clientX - box.left - t.x) / t.w))); else pan(side / t.w);
  }, {passive: false});
  mini.addEventListener('pointerdown', (e) => { const box = mini.getBoundingClientRect(); brush = {box, from: (e.clientX - box.left) / box.width}; e.preventDefault(); });
  mini.addEventListener('dblclick', () => setRange(null));
  const moved = (e) => { if (!brush) return; const to = (e.clientX - brush.box.left) / brush.box.width, T = layoutFor(M, weight()).total; if (Math.abs(to - brush.from) * brush.box.width > 3) setRange([Math.min(to, brush.from) * T, Math.max(to, brush.from) * T]); };
  const released = () => { brush = null; if (drag && !drag.moved) return; setTimeout(() => { drag = null; }); };
  window.addEventListener('pointermove', moved); window.addEventListener('pointerup', released);
  input.oninput = () => search(input.value);
  host.addEventListener('keydown', (e) => {
    const key = e.key;
    if (e.target === input) {
      if (key === 'Escape') { input.value = ''; search(''); scroll.focus(); } else if (key === 'Enter' && hits) jump(hits.list); else if (key !== 'Tab') { e.stopPropagation(); return; } else return;
      e.preventDefault(); e.stopPropagation(); return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || (e.target.tagName === 'BUTTON' && (key === 'Enter' || key === ' '))) return;
    const at = sel < 0 ? -1 : upper(vis, sel) - 1;
    const act = {j: () => go(vis[Math.min(vis.length - 1, at + 1)]), k: () => go(vis[Math.max(0, at - 1)]), Home: () => go(vis[0]), End: () => go(vis[vis.length - 1]),
      ArrowLeft: () => { if (sel < 0) return; if (!M.leaf(sel) && !folded.has(M.id[sel]) && opt.mode === 'waterfall') toggle(sel); else go(M.parent[sel]); },
      ArrowRight: () => { if (sel >= 0 && closedRounds(sel)) { openRounds(sel); return; } if (sel < 0 || M.leaf(sel)) return; if (folded.has(M.id[sel])) toggle(sel); else go(sel + 1); },
      w: () => zoom(0.7), s: () => zoom(1 / 0.7), a: () => pan(-0.2), d: () => pan(0.2), f: fit, 0: () => setRange(null), '/': () => input.focus(), n: () => hits && jump(hits.list), e: () => jump(M.errors), c: () => M.path.size && togglePath(), l: () => jump(M.marked),
      v: () => setMode(opt.mode === 'flame' ? 'waterfall' : 'flame'), g: () => (M.P.idle || []).length && toggleIdle(), '?': () => toggleHelp(), Escape: clear, ' ': () => sel >= 0 && toggle(sel)};
    act.ArrowDown = act.j; act.ArrowUp = act.k;
    const does = Object.hasOwn(act, key) ? act[key] : null; if (does) { does(); e.preventDefault(); e.stopPropagation(); }
  });

  /* ---- paper, size, theme ---- */
  const beforePrint = () => { host.style.width = '690px'; draw(); }, afterPrint = () => { host.style.width = ''; request(); };
  window.addEventListener('beforeprint', beforePrint); window.addEventListener('afterprint', afterPrint);
  const scheme = window.matchMedia('(prefers-color-scheme: dark)'); scheme.addEventListener('change', request);
  const resized = new ResizeObserver(request); resized.observe(host);

  function layout() {
    const W = weight(), L = layoutFor(M, W), [a, b] = range(W), t = opt.mode === 'flame' ? {x: 0, w: scroll.clientWidth} : track(), k = t.w / (b - a), rects = [];
    for (let i = 0; i < M.n; i++) {
      if (opt.mode === 'flame' && W !== 'time' && !(L.x1[i] > L.x0[i])) continue;
      const row = opt.mode === 'flame' ? L.row[i] : upper(vis, i) - 1; if (opt.mode === 'waterfall' && vis[row] !== i) continue;
      rects.push({id: M.id[i], depth: M.depth[i], lane: row, x: t.x + (L.x0[i] - a) * k, y: row * (opt.mode === 'flame' ? FLAME_ROW : ROW), w: (L.x1[i] - L.x0[i]) * k, h: opt.mode === 'flame' ? FLAME_ROW : ROW});
    }
    return {mode: opt.mode, weight: W, left: t.x, width: t.w, rects};
  }
  function update(next, more = {}) {
    const keep = sel >= 0 ? M.id[sel] : null, modeChanges = more.mode && more.mode !== opt.mode || more.weight && more.weight !== opt.weight; Object.assign(opt, more);
    if (next && next !== M.P) { const uid = M.uid, stamp = M.stamp + 1; const idle = M.foldIdle; M = model(next); M.foldIdle = idle; M.uid = uid; M.stamp = stamp; colourKey = ''; rebuild(); sel = keep === null ? -1 : M.index.get(keep) ?? -1; if (query) search(query); else if (hits && hits.path) togglePath(true); else if (opt.finding) { hits = null; showFinding(opt.finding); } drawCounts(); drawNote(); if (!scroll.contains(M.n ? rowsBox : empty)) setMode(opt.mode, true); }
    if (more.height) host.style.maxHeight = `${more.height}px`;
    if (modeChanges) setMode(opt.mode, true);
    if ('finding' in more) showFinding(more.finding);
    if ('selected' in more) api.select(more.selected); else request();
  }
  function destroy() {
    cancelAnimationFrame(frame); resized.disconnect(); scheme.removeEventListener('change', request); window.removeEventListener('beforeprint', beforePrint); window.removeEventListener('afterprint', afterPrint); window.removeEventListener('pointermove', moved); window.removeEventListener('pointerup', released);
    sheetRoot.adoptedStyleSheets = sheetRoot.adoptedStyleSheets.filter((s) => s !== sheet); host.remove();
  }
  const api = {host, layout, update, destroy, payload: () => M.P, select: (id) => { const i = id ? M.index.get(id) ?? -1 : -1; if (i === sel && i >= 0) return; select(i, true); if (i >= 0) reveal(i); }};
  M.uid = Math.random().toString(36).slice(2, 8); M.stamp = 0; rebuild(); drawCounts(); setMode(opt.mode, true);
  if (opt.finding) showFinding(opt.finding);
  if (opt.selected) api.select(opt.selected);
  draw(); host.dataset.ready = '1'; host.traceView = api;
  return api;
}
