"""Turn a saved notebook into pictures of its pages, to look at it as a reader would.

    python tools/look.py notebooks/03_lora_layer.ipynb pages/

The pages are those of the reading copy (`make site`), at the width of a projector. Needs chromium.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from site_copy import build

PAGE = (1366, 1400)  # pixels
ALONE = "<style>.bd-sidebar-primary, .bd-sidebar-secondary, footer { display: none !important; }</style>"


def to_html(notebook: Path, folder: Path) -> Path:
    """The notebook as a page of the reading copy below `folder`, folded parts open so that they are seen."""
    build(folder / "site", [notebook.resolve()], pages=False, strict=False)  # it links to chapters that are not there
    page = folder / "site" / "notebooks" / f"{notebook.stem}.html"
    text = page.read_text(encoding="utf-8").replace("<details>", "<details open>").replace("</head>", ALONE + "</head>")
    page.write_text(text, encoding="utf-8")
    return page


def screenshot(html: Path, picture: Path, height: int) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("chromium is needed to take pictures: install your system's chromium package")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        flags += [f"--user-data-dir={profile}", f"--window-size={PAGE[0]},{height}", f"--screenshot={picture}"]
        subprocess.run([browser, *flags, html.resolve().as_uri()], check=True, capture_output=True, timeout=120)


def look(notebook: Path, folder: Path, height: int = 30000) -> list[Path]:
    """Write page-01.png, page-02.png, … of `notebook` into `folder`; the list of them."""
    from PIL import Image, ImageChops

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        picture = Path(temporary, "page.png")
        screenshot(to_html(notebook, Path(temporary)), picture, height)
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
