"""The names backbones go by and the key of the weights behind each; nothing is opened, so it costs no time to ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from img2tab_core import weights
from img2tab_core.base.files import changing, home, json_to_change, keep_json, read_json
from img2tab_core.base.records import DEFAULT_BACKBONE, digest

NAME = DEFAULT_BACKBONE


def backbone_names() -> list[str]:
    """The default, and what people added, in that order."""
    return [NAME, *added_backbones()]


def backbone_key(name: str) -> str:
    """Changes with a backbone's weights; "" where there is none of this name."""
    if name == NAME:
        parts = [weights.record(file).get("sha256", "") for file in ("mobilestylegan-ffhq", "face-encoder")]
        return digest("".join(parts).encode())[:16]
    return added_backbones().get(name, {}).get("folder", "")


def added_backbones() -> dict[str, dict]:
    """What people added: name -> {"folder", "file", "added"}."""
    return read_json(home() / "backbones.json")


@contextmanager
def changing_backbones() -> Iterator[dict[str, dict]]:
    """What `added_backbones` says, to be changed and then kept; one process at a time, so that no name is lost."""
    file = home() / "backbones.json"
    with changing(file):
        added = json_to_change(file)
        yield added
        keep_json(file, added)
