"""Where each style channel lives: flat index <-> (layer, channel)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from img2tab_core.base.errors import Img2TabError


@dataclass(frozen=True)
class StyleLayout:
    """How many style channels each layer of a generator has, in forward order, toRGB included."""

    sizes: tuple[int, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Flat index of the first channel of every layer, plus the total at the end; length L + 1."""
        return (0, *accumulate(self.sizes))

    @property
    def total(self) -> int:
        """D, the number of style channels."""
        return self.offsets[-1]

    @property
    def layers(self) -> int:
        """L, the number of style layers."""
        return len(self.sizes)

    def locate(self, index: int) -> tuple[int, int]:
        """Flat index, 0 to D - 1 -> (layer, channel within the layer). Raises Img2TabError beyond that."""
        if not 0 <= index < self.total:
            raise Img2TabError(
                f"Channel index must be between 0 and {self.total - 1}, got {index}. Choose a channel of this backbone."
            )
        layer = bisect_right(self.offsets, index) - 1
        return layer, index - self.offsets[layer]

    def index_of(self, layer: int, channel: int) -> int:
        """(layer, channel within the layer) -> flat index. Raises Img2TabError where there is no such channel."""
        if not 0 <= layer < self.layers:
            raise Img2TabError(f"Layer must be between 0 and {self.layers - 1}, got {layer}.")
        if not 0 <= channel < self.sizes[layer]:
            raise Img2TabError(
                f"Channel of layer {layer} must be between 0 and {self.sizes[layer] - 1}, got {channel}."
            )
        return self.offsets[layer] + channel
