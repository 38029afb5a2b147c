"""What was computed of the faces that are being edited, kept so that the next edit begins where this one does."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from img2tab_core.base.once import Once

if TYPE_CHECKING:
    from img2tab_core.networks.features import Features
else:
    Features = object  # only a name for readers: PyTorch is not imported for it

FEATURE_BYTES = 160 << 20  # one face in the last layers of a StyleGAN2 at 1024 px; of all visitors together


class FeatureCache(Once[object, Features]):
    """Features of the faces that are being edited, everybody's: bounded in bytes, the longest unused go first.

    What is in it is only read.
    """

    def __init__(self, limit: int = FEATURE_BYTES) -> None:
        super().__init__(limit, weigh=attrgetter("nbytes"))


@dataclass(frozen=True)
class Reuse:
    """Where pictures may take up what was computed before.

    key: of the backbone, changes with its weights; layers: the style layers in which something is edited.
    """

    cache: FeatureCache
    key: str
    layers: tuple[int, ...]
