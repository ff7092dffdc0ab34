"""A chapter in a browser: run its cells, find its widgets, move them with the keyboard, see what changes."""

OPEN = """async path => {
  await window.jupyterapp.restored;
  const panel = await window.jupyterapp.commands.execute('docmanager:open', {path});
  await panel.context.ready; await panel.sessionContext.ready;
}"""
RUN_ALL = """async () => {
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
  await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.info;
}"""
CLOSE = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.sessionContext.shutdown().finally(() => panel.dispose()); panel.hide();
}"""
GONE = "() => !window.jupyterapp.shell.currentWidget?.sessionContext"
MODIFIED = "() => window.jupyterapp.shell.currentWidget.context.model.dirty"
CELLS = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON().cells"
READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  return panel?.context?.isReady && panel?.sessionContext?.session?.kernel?.status === 'idle';
}"""
PIXELS = """img => { const c = document.createElement('canvas');
  c.width = img.naturalWidth; c.height = img.naturalHeight;
  c.getContext('2d').drawImage(img, 0, 0); return c.toDataURL(); }"""
# From the key that goes down to the new picture on the page, in milliseconds.
WATCH = """img => { window.redrawn = new Promise(done => {
  let start = 0;
  for (const kind of ['keydown', 'change'])
    document.addEventListener(kind, () => { start = performance.now(); }, {capture: true});
  new MutationObserver((_, watcher) => { watcher.disconnect();
    img.decode().catch(() => {}).then(() => requestAnimationFrame(() => done(performance.now() - start)));
  }).observe(img, {attributes: true, attributeFilter: ['src']}); }); }"""
REDRAWN = """patience => Promise.race([window.redrawn,
  new Promise((_, fail) => setTimeout(() => fail(new Error('the picture did not change')), patience))])"""
# A control is named by its own label, or (a slider's handle, a number beside it) by the label of its row.
UNLABELLED = """() => [...document.querySelectorAll(
    '.jupyter-widgets :is(input, select, textarea, button, [role=slider], [contenteditable])')]
  .filter(e => e.offsetParent && !e.closest('.widget-radio-box')
    && !(e.labels?.length && e.labels[0].textContent.trim()) && !e.textContent.trim() && !e.title
    && !e.closest('.widget-inline-hbox')?.querySelector('.widget-label')?.textContent.trim())
  .map(e => e.outerHTML.slice(0, 120))"""
# What a browser says of itself and not of the page.
HARMLESS = ("favicon", "ResizeObserver loop", "Failed to load resource", "WebGL", "GPU", "gpu", "deprecat", "sourcemap")


class Chapter:
    """A Lab in a browser's page, with one notebook open at a time; `console` holds the errors reported meanwhile."""

    def __init__(self, page, address: str, patience: float) -> None:
        self.page, self.console, self.patience = page, [], patience
        page.on("console", lambda message: self.console.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.set_default_timeout(1000 * patience)
        page.goto(address)
        page.wait_for_function("() => window.jupyterapp?.shell")

    def open(self, path: str) -> None:
        self.page.wait_for_function(GONE)
        self.console.clear()
        self.page.evaluate(OPEN, path)
        self.page.wait_for_function(READY)

    def modified(self) -> bool:
        return self.page.evaluate(MODIFIED)

    def run_all(self) -> None:
        self.page.evaluate(RUN_ALL)
        self.page.wait_for_function(READY)

    def errors(self) -> list[str]:
        """Errors in cells that are not meant to raise, and what the console reported."""
        found = []
        for cell in self.page.evaluate(CELLS):
            meant = "raises-exception" in cell.get("metadata", {}).get("tags", [])
            for output in cell.get("outputs", []):
                if output["output_type"] == "error" and not meant:
                    found.append(f"{output['ename']}: {output['evalue']}")
        if broken := self.page.get_by_text("Click to show javascript error").count():
            found.append(f"{broken} widgets show an error instead of themselves")
        return found + [text for text in self.console if not any(word in text for word in HARMLESS)]

    def explorers(self) -> list:
        """The boxes of the widgets with a picture, in the order of the page."""
        boxes = self.page.locator(".jp-OutputArea-output .widget-vbox:has(> .widget-image)")
        return [boxes.nth(i) for i in range(boxes.count())]

    def unlabelled(self) -> list[str]:
        """The controls of widgets beside which no words say what they are."""
        return self.page.evaluate(UNLABELLED)

    def press(self, box) -> None:
        """Move the first control of a widget by one step; the other way where it stands at its end.

        In a menu arrow keys alone would move to the next cell of the notebook: Space opens it first, Enter chooses.
        """
        control = box.locator(".noUi-handle, select").first
        control.scroll_into_view_if_needed()
        control.focus()
        if control.evaluate("e => e.tagName") == "SELECT":
            at_end = control.evaluate("s => s.selectedIndex === s.options.length - 1")
            keys = ("Space", "ArrowUp" if at_end else "ArrowDown", "Enter")
        else:
            at_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
            keys = ("ArrowLeft" if at_end else "ArrowRight",)
        for key in keys:
            self.page.keyboard.press(key)

    def redraw(self, box) -> float:
        """Milliseconds from a key press to the widget's changed picture on the page."""
        box.locator("img").first.evaluate(WATCH)
        self.press(box)
        return self.page.evaluate(REDRAWN, 1000 * self.patience)

    def pixels(self, box) -> str:
        return box.locator("img").first.evaluate(PIXELS)

    def close(self) -> None:
        """Shut the kernel down, since the next notebook needs the memory; `open` waits until the notebook is gone."""
        self.page.evaluate(CLOSE)
