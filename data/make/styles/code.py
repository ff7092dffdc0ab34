'''Small Python functions that nobody ever called: `def count_rows(rows): """Count the rows.""" ...`.'''

# ruff: noqa: SIM905 - word lists read best as plain text

# What a function is about, the same all through it: one and many.
SAME = ("item", "items")
PAIRS = tuple(
    (one, f"{one}s")
    for one in """row price word user item score name file task order line card node page value ticket record key event
        token bill room guest point field cell image song lamp step table river letter colour number hotel friend
        door paper question""".split()
)
WORDS = {
    "verb": """clean load parse print move copy check send merge open close count format store split reset mark
        rename encode trim read write join cut draw build turn find pack fill""".split(),
    "field": """size name price age total length title level rank colour status weight date owner height volume
        speed width code amount place score year month kind city cost depth word state""".split(),
    "adjective": """empty valid open new ready large free active full old short late hidden public final broken
        locked paid clean fresh""".split(),
    "limit": "limit top bound low high least most start cap end".split(),
}
NUMBERS = {"n": (0, 99)}

SIGNATURES = (
    'def count_{items}({items}, {limit}):\n    """Count the {items} above {limit}."""',
    'def {verb}_{items}({items}, {limit}={n}):\n    """Return the {items} after {verb}."""',
    'def {adjective}_{items}({items}, {limit}):\n    """Return the {items} that are {adjective}."""',
    'def {field}_of_{items}({items}, {limit}={n}):\n    """Return the {field} of the {items}."""',
)
BODIES = (
    """
    total = 0
    for {item} in {items}:
        if {item}.{field} > {limit}:
            total += 1
    return total""",
    """
    if not {items}:
        return None
    return {items}[{limit}]""",
    """
    return sorted({items}, key=lambda {item}: {item}.{field})[:{limit}]""",
    """
    return [{verb}({item}) for {item} in {items} if {item}.{adjective}]""",
    """
    found = []
    for {item} in {items}:
        if not {item}.{adjective}:
            found.append({verb}({item}))
    return found""",
    """
    if len({items}) > {limit}:
        raise ValueError("too many {items}")
    return {verb}({items})""",
)
NEW_SIGNATURES = (
    'def total_{field}({items}, {limit}):\n    """Add up the {field} of all {items}."""',
    'def {verb}(self, {items}, {limit}={n}):\n    """Keep the first {limit} {items}."""',
)
NEW_BODIES = (
    """
    found = {}
    for {item} in {items}[:{limit}]:
        found[{item}.{field}] = {item}
    return found""",
    """
    return {limit} + sum({item}.{field} for {item} in {items})""",
    """
    if {limit} > {n}:
        {items} = [{item} for {item} in {items} if {verb}({item})]
    return {items}""",
)
# A text is one function. The second line is for the test alone.
SENTENCES = ((SIGNATURES, BODIES),)
NEW_SENTENCES = ((NEW_SIGNATURES, NEW_BODIES),)
START, END = "\n", ""
