// Saving what is seen as a file; put before the components that offer it.

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A text of a trace must not become a formula in a spreadsheet.
function csvText(exact) {
  const safe = /^[=+\-@\t\r]/.test(exact) && !/^-?\d+(\.\d+)?$/.test(exact) ? `'${exact}` : exact;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvOf(rows) {
  return rows.map((row) => row.map(csvText).join(",")).join("\r\n") + "\r\n";
}

