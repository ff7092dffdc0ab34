"""An explorer with a button, for what takes longer than moving a slider: training or measuring on this machine."""

from collections.abc import Callable
from typing import ClassVar

from lorakit.core.errors import LoRAError
from lorakit.show.box import box
from lorakit.show.explorer import Explorer


class ButtonExplorer(Explorer):
    """A subclass does in `act` what its button says; while that runs the button shows `busy` and cannot be pressed.

    What `act` prints, a progress bar too, is shown below the button; a LoRAError in place of the numbers.
    """

    label: ClassVar[str]
    icon: ClassVar[str]
    act: Callable[[], None]
    busy: Callable[[], str]

    def press(self) -> None:
        """What a click does."""
        self.button.disabled, self.button.description = True, self.busy()
        self.printed.clear_output()
        with self.printed:
            try:
                self.act()
            except LoRAError as error:
                self._widgets["numbers"].value = box("✗", str(error))
            finally:
                self.button.disabled, self.button.description = False, self.label

    def _build(self) -> dict:
        built = super()._build()
        import ipywidgets as w

        self.button = w.Button(description=self.label, button_style="primary", icon=self.icon)
        self.button.layout.width = "220px"
        self.button.on_click(lambda _: self.press())
        self.printed = w.Output()
        *controls, picture, numbers = built["box"].children
        built["box"].children = (*controls, self.button, self.printed, picture, numbers)
        return built
