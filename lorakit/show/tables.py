"""Tables of words: pandas aligns all cells as numbers, to the right."""

import re

import pandas as pd

from lorakit.show.style import MARKS


class Words(pd.DataFrame):
    """A DataFrame that a notebook draws aligned to the left, with ✓ and ✗ in colours that dark pages leave legible."""

    @property
    def _constructor(self):
        return Words  # what is chosen from it, too

    def _repr_html_(self) -> str:
        page = re.sub("<(t[hd])(?=[ >])", r'<\1 style="text-align: left"', super()._repr_html_())
        for mark, (ink, paper) in MARKS.items():
            page = page.replace(f">{mark}", f'><b style="color:{ink};background:{paper};padding:0 3px">{mark}</b>')
        return page
