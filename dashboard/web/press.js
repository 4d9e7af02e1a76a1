/* Presses the page's own button for a view, whatever its case: what a person chooses in the browser the browser must say.
   A choice made by the server could be undone by a message that is on its way. */
function press(view) {
  const buttons = [...document.querySelectorAll('.st-key-view [role=radio]')];
  const button = buttons.find((one) => one.textContent.trim().toLowerCase() === view.toLowerCase());
  if (button) button.click();
}

