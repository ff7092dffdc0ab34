"""An explorer with a button, for what takes longer than moving a slider: training or measuring on this machine."""

from typing import ClassVar

from lorakit.show.explorer import Explorer


class ButtonExplorer(Explorer):
    """A subclass says what the button shows, and does it in `act`; while that runs the button cannot be pressed."""

    label: ClassVar[str]
    icon: ClassVar[str]

    def act(self) -> None:
        raise NotImplementedError("a subclass does here what its button says")

    def busy(self) -> str:
        """What the button shows meanwhile."""
        raise NotImplementedError("a subclass says here what it is doing")

    def press(self) -> None:
        """What a click does."""
        self.button.disabled, self.button.description = True, self.busy()
        try:
            self.act()
        finally:
            self.button.disabled, self.button.description = False, self.label

    def _build(self) -> dict:
        built = super()._build()
        import ipywidgets as w

        self.button = w.Button(description=self.label, button_style="primary", icon=self.icon)
        self.button.layout.width = "220px"
        self.button.on_click(lambda _: self.press())
        *controls, picture, numbers = built["box"].children
        built["box"].children = (*controls, self.button, picture, numbers)
        return built
