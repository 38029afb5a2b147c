"""What was computed of the faces that are being edited, kept so that the next edit begins where this one does."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2tab_core.networks.features import Features

FEATURE_BYTES = 160 << 20  # one face in the last layers of a StyleGAN2 at 1024 px; of all visitors together


class FeatureCache:
    """Features of the faces that are being edited, everybody's: bounded in bytes, the longest unused go first.

    Thread-safe; what is in it is only read.
    """

    def __init__(self, limit: int = FEATURE_BYTES) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Features] = OrderedDict()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """What the features take in memory."""
        with self._lock:
            return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: object) -> Features | None:
        """What was kept under this key, if it still is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: object, features: Features) -> None:
        """Keep features; what is larger than the limit is not kept at all."""
        if features.nbytes > self.limit:
            return
        with self._lock:
            if key in self._kept:
                self._bytes -= self._kept.pop(key).nbytes
            self._kept[key] = features
            self._bytes += features.nbytes
            while self._bytes > self.limit:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


@dataclass(frozen=True)
class Reuse:
    """Where pictures may take up what was computed before.

    key: of the backbone, changes with its weights; layers: the style layers in which something is edited.
    """

    cache: FeatureCache
    key: str
    layers: tuple[int, ...]
