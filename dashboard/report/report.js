/* Opens the packed trace and mounts the viewer; clicks on anything that names a span select it. Follows the viewer in one script. */
const packedTrace = Uint8Array.from(atob(document.getElementById('trace-data').textContent.trim()), (c) => c.charCodeAt(0));
const payload = await new Response(new Blob([packedTrace]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
const place = document.getElementById('viewer');
document.documentElement.classList.add('live');
const viewer = mountTrace(place, payload, {mode: 'flame', height: 520, selected: location.hash.startsWith('#span-') ? location.hash.slice(6) : null,
  onSelect: (id) => { mark(id); history.replaceState(null, '', `#span-${id}`); }});
const known = new Set(payload.columns.id), findings = new Map(payload.findings.map((f) => [f.id, f]));
function mark(id) {
  for (const node of document.querySelectorAll('.selected')) node.classList.remove('selected');
  if (id) for (const node of document.querySelectorAll(`[data-span="${CSS.escape(id)}"]`)) node.classList.add('selected');
}
function open(node) {
  const finding = findings.get(node.dataset.finding), id = node.dataset.span || (node.dataset.spans || '').split(' ')[0] || (finding && payload.columns.id[finding.spans[0]]);
  if (!id || !known.has(id)) return false;
  viewer.select(id); mark(id); history.replaceState(null, '', `#span-${id}`);
  place.scrollIntoView({block: 'nearest'});
  return true;
}
const TARGET = '[data-span],[data-spans],[data-finding]';
document.addEventListener('click', (e) => {
  const node = e.target.closest(TARGET);
  if (!node || place.contains(node) || e.target.closest('summary,a') || String(getSelection())) return;
  open(node);
});
document.addEventListener('keydown', (e) => { if ((e.key === 'Enter' || e.key === ' ') && e.target.matches && e.target.matches(TARGET) && !place.contains(e.target) && open(e.target)) e.preventDefault(); });
document.documentElement.dataset.ready = '1';
