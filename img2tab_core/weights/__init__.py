"""The model files: where each comes from, under which licence, fetched and verified before it is opened.

Nothing else in the product downloads, verifies or opens a model file. A file appears in
`pretrained_models/` only whole and checked: it is written beside its place and moved there in one step.
"""

from __future__ import annotations

from img2tab_core.weights.fetching import fetch
from img2tab_core.weights.opening import (
    open_arrays,
    open_checkpoint,
    open_descriptor,
    open_encoder,
    open_generator,
    open_lpips,
    open_safetensors,
)
from img2tab_core.weights.store import find, manifest, path, record, remedy, status, verify

__all__ = [
    "fetch",
    "find",
    "manifest",
    "open_arrays",
    "open_checkpoint",
    "open_descriptor",
    "open_encoder",
    "open_generator",
    "open_lpips",
    "open_safetensors",
    "path",
    "record",
    "remedy",
    "status",
    "verify",
]
