"""The reading copy: three chapters are built; nothing is fetched, formulas are drawn, search knows the words."""

import re

import pytest

pytest.importorskip("myst_nb", reason="the site needs the extra `site`")
CHAPTERS = ("03_lora_layer.ipynb", "11_choose_for_real.ipynb", "14_encoders.ipynb")  # 11 links to 14
import site_copy  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "site"
    assert site_copy.build(folder, [site_copy.ROOT / "notebooks" / name for name in CHAPTERS], pages=False).is_file()
    return folder


def page(site, name="03_lora_layer"):
    return (site / "notebooks" / f"{name}.html").read_text(encoding="utf-8")


def test_no_page_fetches_anything_from_a_network(site):
    assert site_copy.foreign(site) == {}
    styles = "".join(p.read_text(encoding="utf-8", errors="ignore") for p in site.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?https?:", styles) and "@import url(http" not in styles


def test_formulas_are_mathml_and_none_is_left_as_tex(site):
    text = page(site)
    assert text.count("<math") > 20 and "<mfrac>" in text
    assert not re.search(r"<code>[^<]*\\frac", text)


def test_pictures_tables_and_folded_parts_are_there(site):
    assert len(list((site / "_images").glob("*.png"))) >= 3
    text = page(site, "11_choose_for_real")
    assert text.count("<summary>Hint</summary>") == text.count("<summary>Solution</summary>") == 3
    assert "Check yourself" in text and "likely bug" in text


def test_every_picture_says_in_words_what_it_shows(site):
    for name in ("03_lora_layer", "11_choose_for_real"):
        alts = re.findall(r'<img[^>]*alt="([^"]*)"[^>]*src="\.\./_images', page(site, name))
        assert len(alts) >= 2 and not [alt for alt in alts if "_images" in alt or " " not in alt]


def test_badges_are_left_out_and_pages_are_linked(site):
    text = page(site)
    assert "mybinder.org" not in text and "11_choose_for_real.html" in text


def test_the_front_page_has_the_picture_and_what_each_chapter_is_for(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    assert "picture.png" in front and "afterwards you can" in front and "write a LoRA layer from nothing" in front


def test_search_knows_the_words_and_from_disk_the_lines_around_them(site):
    pages = (site / "_static" / "pages.js").read_text(encoding="utf-8")
    assert '"notebooks/03_lora_layer.html"' in pages and "<script" not in pages
    assert "pages.js" in (site / "search.html").read_text(encoding="utf-8") and "pages.js" not in page(site)
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert '"gaussian"' in index.lower() or "gaussian:" in index.lower()
    assert "11 \\u00b7 Choose for real" in index or "11 · Choose for real" in index


def test_every_link_of_the_readme_and_the_documents_leads_somewhere(tmp_path):
    site_copy.lay_out(tmp_path / "source", sorted((site_copy.ROOT / "notebooks").glob("*.ipynb")))
    for page in (tmp_path / "source" / "readme.md", *(tmp_path / "source" / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        assert not [link for link in links if not (page.parent / link).exists()], page.name
