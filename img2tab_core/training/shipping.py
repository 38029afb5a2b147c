"""Weights the product ships: a safetensors file, and beside it the JSON record that vouches for it."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from img2tab_core.records import digest


def ship(file: Path, state: dict[str, Tensor], record: dict) -> Path:
    """Write the tensors, whole, then the record with the size and sha256 that `weights` checks; the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in state.items()}, str(partial))
    content = partial.read_bytes()
    partial.replace(file)
    about = {"file": file.name, "size": len(content), "sha256": digest(content), **record}
    file.with_suffix(".json").write_text(json.dumps(about, indent=1))
    return file
