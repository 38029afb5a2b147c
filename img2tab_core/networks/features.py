"""Features between two style layers: computed once for a face, taken up by every edit of a later layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from img2tab_core.base.layout import StyleLayout


@dataclass(frozen=True, eq=False)
class Features:
    """What a generator has computed when it comes to a style layer; it is read, never written into.

    layer: the style layer that comes next; side: px of what is computed there (see `Layered.side`). before: style
    codes up to that layer, (B, its offset), which is all the tensors depend on. tensors: each (B, channels, side, side)
    or, for a picture so far, (B, 3, ...).
    """

    layer: int
    side: int
    before: Tensor
    tensors: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return sum(tensor.nbytes for tensor in self.tensors)


class Low(NamedTuple):
    """Floats of 16 bits in the last style layers: half the bytes, and twice as fast where the machine knows them."""

    dtype: torch.dtype
    layer: int  # the first such style layer


class Layered(nn.Module):
    """A generator that takes its style layers one after the other, and so can stop before one and go on from there."""

    layout: StyleLayout
    size: int  # of its largest picture, px
    n_latent: int  # how many w it takes
    sizes: tuple[int, ...]  # of its pictures, px, largest first
    close_from: ClassVar[dict[torch.dtype, int]] = {}  # `Low.layer` for pictures within 2 of 255 levels
    draft_from: ClassVar[dict[torch.dtype, int]] = {}  # up to 256 px within 8, half a level on average

    def layers(self, size: int) -> int:
        """How many style layers a picture of this size goes through."""
        raise NotImplementedError

    def side(self, layer: int, size: int) -> int:
        """Side of the features before a style layer on the way to a picture of this size, px.

        Pictures of two sizes share their features before a layer exactly where these are equal.
        """
        raise NotImplementedError

    def start(self) -> tuple[Tensor, ...]:
        """What the first style layer finds, for one style code."""
        raise NotImplementedError

    def step(self, layer: int, tensors: tuple[Tensor, ...], style: Tensor, size: int) -> tuple[Tensor, ...]:
        """One style layer: what it finds and its style (B, channels) -> what the next one finds, the picture at last.

        What it finds is for as many codes as there are styles, or for one that all of them share. It computes in the
        dtype of the features, which are the first of what it finds.
        """
        raise NotImplementedError

    def synthesis(
        self, styles: Tensor, *, size: int | None = None, after: Features | None = None, low: Low | None = None
    ) -> Tensor:
        """Style codes (B, D) -> pictures (B, 3, size, size), float32, RGB, nominal range [-1, 1], not clipped.

        size: one of `sizes`, None for the largest. after: features of these very codes (or of what they have in common)
        before some layer, from which it goes on; None to begin at the beginning. low: where 16 bits are enough.
        """
        size = self._checked(size)
        return self._advanced(styles, self.layers(size), size, after, low)[-1].float()

    def prefix(
        self,
        styles: Tensor,
        layer: int,
        *,
        size: int | None = None,
        after: Features | None = None,
        low: Low | None = None,
    ) -> Features:
        """Features of style codes (B, D) before a style layer, on the way to pictures of this size."""
        size = self._checked(size)
        if not 0 <= layer < self.layers(size):
            raise ValueError(f"layer must be from 0 to {self.layers(size) - 1} at {size} px, got {layer}")
        tensors = self._advanced(styles, layer, size, after, low)
        return Features(layer, self.side(layer, size), styles[:, : self.layout.offsets[layer]].clone(), tensors)

    def _advanced(
        self, styles: Tensor, layer: int, size: int, after: Features | None, low: Low | None
    ) -> tuple[Tensor, ...]:
        """What is found before `layer`, from the start or from given features."""
        first, tensors = (0, self.start()) if after is None else (after.layer, after.tensors)
        if after is not None:
            if first > layer or after.side != self.side(first, size):
                raise ValueError(
                    f"features before layer {first} at {after.side} px do not lead to layer {layer} at {size} px"
                )
            if not torch.equal(after.before.expand(len(styles), -1), styles[:, : after.before.shape[1]]):
                raise ValueError(f"features before layer {first} must be those of the same style codes, got others'")
        for number, style in list(enumerate(styles.split(self.layout.sizes, dim=1)))[first:layer]:
            if low is not None and number >= low.layer:
                tensors = (tensors[0].to(low.dtype), *tensors[1:])
            tensors = self.step(number, tensors, style, size)
        return tensors

    def _checked(self, size: int | None) -> int:
        size = size or self.sizes[0]
        if size not in self.sizes:
            raise ValueError(f"size must be one of {self.sizes}, got {size}")
        return size
