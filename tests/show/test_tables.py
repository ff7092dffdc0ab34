"""Tables of words: their marks can be read on any page."""

from matplotlib.colors import to_rgb

from lorakit.show.style import MARKS
from lorakit.show.tables import Words


def light(colour: str) -> float:
    """Relative luminance, as WCAG 2.1 has it."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_marks_bring_their_paper_and_stand_out_from_it():
    page = Words(list(MARKS))._repr_html_()
    for mark, (ink, paper) in MARKS.items():
        assert f'color:{ink};background:{paper};padding:0 3px">{mark}' in page
        assert (light(paper) + 0.05) / (light(ink) + 0.05) >= 4.5
