"""The benchmark's chart: what each library adds to the frozen base, row by row."""

from pathlib import Path

from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, figure, png

COLOURS = {"lorakit": BLUE, "peft": ORANGE, "loralib": GREEN}
NAMES = {"lorakit": "lorakit", "peft": "PEFT", "loralib": "loralib"}


def draw(result: dict, file: Path) -> None:
    """Overheads over the base in %, with the noise floor as a grey band, as a PNG."""
    rows = [row for row in result["rows"] if "overhead" in row["what"]]
    fig, ax = figure(f"Added to the frozen base's time ({result['shape'].split(',')[0]})", size=(10, 4))
    for place, row in enumerate(rows):
        noise = 100 * row["noise"]
        ax.fill_between([-noise, noise], place - 0.42, place + 0.42, color=GREY, alpha=0.3, linewidth=0)
        for number, (name, colour) in enumerate(COLOURS.items()):
            if name in row:
                label = NAMES[name] if place == 0 else None
                ax.barh(place - 0.26 + 0.26 * number, 100 * row[name], height=0.24, color=colour, label=label)
    ax.axvline(0, color="black", linewidth=1)
    ax.set(yticks=range(len(rows)), yticklabels=[row["what"].replace(", overhead", "") for row in rows])
    ax.set(xlabel="overhead (%), grey: the base against itself")
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(fig))
