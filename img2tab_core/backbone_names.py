"""The names backbones go by and the key of the weights behind each; nothing is opened, so it costs no time to ask."""

from __future__ import annotations

from img2tab_core import weights
from img2tab_core.records import DEFAULT_BACKBONE, digest

NAME = DEFAULT_BACKBONE


def backbone_names() -> list[str]:
    """The default, and what people added, in that order."""
    return [NAME, *added_backbones()]


def backbone_key(name: str) -> str:
    """Changes with a backbone's weights; "" where there is none of this name."""
    if name == NAME:
        parts = [weights.record(one).get("sha256", "") for one in ("mobilestylegan-ffhq", "face-encoder")]
        return digest("".join(parts).encode())[:16]
    return added_backbones().get(name, {}).get("folder", "")


def added_backbones() -> dict[str, dict]:
    """What people added: name -> {"folder", "file", "added"}."""
    return weights.read_json(weights.home() / "backbones.json")


def keep_added(added: dict[str, dict]) -> None:
    """Write what `added_backbones` reads."""
    weights.keep_json(weights.home() / "backbones.json", added)
