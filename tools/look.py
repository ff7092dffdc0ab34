"""Turn a saved notebook into pictures of its pages, to look at it as a reader would.

    python tools/look.py notebooks/03_lora_layer.ipynb pages/

Needs nbconvert (part of jupyterlab) and chromium. Formulas stay as TeX: the page does not fetch MathJax.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PAGE = (1000, 1400)  # pixels


def to_html(notebook: Path) -> str:
    """The notebook as one HTML page without scripts, folded parts open so that they are seen."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(template_name="lab").from_filename(str(notebook))
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    return page.replace("<details>", "<details open>")


def screenshot(html: Path, picture: Path, height: int) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("chromium is needed to take pictures: install your system's chromium package")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        flags += [f"--user-data-dir={profile}", f"--window-size={PAGE[0]},{height}", f"--screenshot={picture}"]
        subprocess.run([browser, *flags, html.resolve().as_uri()], check=True, capture_output=True, timeout=120)


def look(notebook: Path, folder: Path, height: int = 16000) -> list[Path]:
    """Write page-01.png, page-02.png, … of `notebook` into `folder`; the list of them."""
    from PIL import Image, ImageChops

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        html, picture = Path(temporary, "page.html"), Path(temporary, "page.png")
        html.write_text(to_html(notebook), encoding="utf-8")
        screenshot(html, picture, height)
        whole = Image.open(picture).convert("RGB")
    blank = Image.new("RGB", whole.size, whole.getpixel((PAGE[0] // 2, whole.height - 1)))
    _, _, _, end = ImageChops.difference(whole, blank).getbbox() or (0, 0, 0, PAGE[1])
    pages = []
    for number, top in enumerate(range(0, end, PAGE[1]), 1):
        pages.append(folder / f"page-{number:02d}.png")
        whole.crop((0, top, PAGE[0], min(top + PAGE[1], end + 20))).save(pages[-1])
    return pages


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for page in look(arguments.notebook, arguments.folder):
        print(page)
