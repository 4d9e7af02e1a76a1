// Holds the columns of a run for the viewer: gzipped JSON that arrives once and is unpacked once.

const KEPT = 2; // runs, or states of a run, that are kept unpacked

/* stamp -> {promise, resolve}; shared with viewer_mount.js through the window */
function shelf() {
  return (window.__tracehoundColumns = window.__tracehoundColumns || new Map());
}

function slot(stamp) {
  const all = shelf();
  if (!all.has(stamp)) {
    const one = {};
    one.promise = new Promise((resolve, reject) => Object.assign(one, { resolve, reject }));
    one.promise.catch(() => {}); // whoever waits for it hears of it
    all.set(stamp, one);
  }
  return all.get(stamp);
}

export default function (component) {
  const bytes = component.data;
  const stamp = [...bytes.slice(-8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const one = slot(stamp);
  if (one.begun) return;
  one.begun = true;
  new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")))
    .json()
    .then(one.resolve, one.reject);
  for (const old of shelf().keys()) {
    if (shelf().size <= KEPT) break;
    if (old !== stamp) shelf().delete(old);
  }
}
