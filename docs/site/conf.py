"""Sphinx's settings for the reading copy; tools/site_copy.py lays the sources out beside this file and builds."""

import html
import json
import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

project = "lorakit"
author = copyright = "The lorakit authors"
extensions = ["myst_nb"]
html_theme = "sphinx_book_theme"
html_title = "lorakit: LoRA, measured"
html_static_path = ["_static"]
html_css_files = ["lorakit.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],
}
exclude_patterns = ["_static"]

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_render_markdown_format = "myst"
# A picture or a table that was saved, before the script that would draw the live widget.
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "image/png", 5),
    ("html", "text/html", 10),
]
# Titles may skip a level in a notebook.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]


def mathml(self, node: nodes.math | nodes.math_block, display: str) -> None:
    """Formulas as MathML, which browsers draw themselves: no script, no font, no network."""
    tex = node.astext()
    try:
        self.body.append(convert(tex, display=display))
    except Exception as error:  # a formula that the converter does not know is shown as it was written
        self.document.reporter.warning(f"no MathML for {tex!r}: {error}", base_node=node)
        self.body.append(f"<code>{html.escape(tex)}</code>")
    raise nodes.SkipNode


# Search shows the lines around a word that it finds by fetching the page, which no browser does from disk.
FROM_DISK = """
if (location.protocol === "file:") {
  const fetched = window.fetch;
  window.fetch = address => {
    const page = new URL(address, location).pathname.match(/(notebooks\\/|docs\\/)?[^\\/]+$/)[0];
    return page in PAGES ? Promise.resolve(new Response(`<div role="main">${PAGES[page]}</div>`)) : fetched(address);
  };
}
"""


def write_pages(app, error) -> None:
    """Every page's text in a script that the search page reads."""
    out, texts = Path(app.outdir), {}
    for page in out.rglob("*.html"):
        found = re.search(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL)
        if found and page.name != "search.html":
            texts[page.relative_to(out).as_posix()] = re.sub(
                r"<(script|style).*?</\1>|<[^>]*>", " ", found[0], flags=re.DOTALL
            )
    (out / "_static" / "pages.js").write_text(f"const PAGES = {json.dumps(texts)};{FROM_DISK}", encoding="utf-8")


def add_pages(app, pagename, *_) -> None:
    if pagename == "search":
        app.add_js_file("pages.js")


def setup(app):
    app.connect("build-finished", write_pages)
    app.connect("html-page-context", add_pages)
    inline = (lambda self, node: mathml(self, node, "inline"), None)
    block = (lambda self, node: mathml(self, node, "block"), None)
    app.add_html_math_renderer("mathml", inline, block)
    app.config.html_math_renderer = "mathml"
