"""How shares, differences, counts and concepts are written, the same on a page and in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from img2tab_core.base.layout import StyleLayout

FAR = 0.25  # of a chance, between a face and its reconstruction
UNCERTAIN = 0.75  # a decision that is less sure than that is said to be uncertain


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as a percentage: 0.8731 -> "87.3 %", with a space at which no line breaks."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def chance(probability: float) -> str:
    """A probability as a percentage that is never all or nothing: 0.99996 -> "over 99.9 %", 0.0002 -> "under 0.1 %"."""
    if probability > 0.9995:
        return "over 99.9\N{NO-BREAK SPACE}%"
    return "under 0.1\N{NO-BREAK SPACE}%" if probability < 0.0005 else percent(probability)


def as_seen(name: str) -> str:
    """What a class means: "perceived smiling" -> "what a network would see as smiling"; another one stays as it is."""
    seen = name.removeprefix("perceived ")
    return name if seen == name else f"what a network would see as {seen}"


def decision(classes: tuple[str, ...], probability: float, *, poor: bool = False) -> str:
    """A decision in words, and whether it is uncertain: near the border, or about a poor reconstruction.

    probability: of class 1; poor: whether the reconstruction hardly shows the face.
    """
    likely = int(probability > 0.5)
    judged = f"Judged {as_seen(classes[likely])}"
    if poor:
        return f"{judged}. This is uncertain: the reconstruction is poor, and it is what was judged."
    if is_uncertain(probability):
        return f"{judged}. This is uncertain: it lies near the border to {as_seen(classes[1 - likely])}."
    return f"{judged}."


def too_far(of_face: float, of_drawn: float) -> bool:
    """Whether a classifier that reads pixels answers so differently about a face and about its reconstruction that what
    is found out about the latter says nothing about the former. Both: the chance of class 1."""
    return (of_face > 0.5) != (of_drawn > 0.5) or abs(of_face - of_drawn) > FAR


def is_uncertain(probability: float) -> bool:
    """Whether a decision lies so near the border that it is said to be uncertain."""
    return max(probability, 1 - probability) < UNCERTAIN


def calibrated_on(photos: int | None) -> str:
    """Whether a probability was made to fit photos, and on how many; None where it was not."""
    return "Not calibrated on photos." if photos is None else f"Calibrated on {count(photos, 'photo')}."


def points(difference: float) -> str:
    """A difference of two shares of 1 in percentage points: -0.021 -> "−2.1 points"."""
    return f"{signed(100 * difference)}\N{NO-BREAK SPACE}points"


def signed(number: float, digits: int = 1) -> str:
    """-2.14 -> "−2.1", 2.14 -> "+2.1", 0 -> "0.0"; a true minus sign, so that columns align."""
    text = f"{abs(number):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if number > 0 else "\N{MINUS SIGN}") + text


def count(number: int, thing: str) -> str:
    """1 -> "1 concept", 1500 -> "1,500 concepts"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def sentence(text: str) -> str:
    """The same words with a capital first letter."""
    return text[:1].upper() + text[1:]


def listed(parts: Sequence[str]) -> str:
    """At least one part: "a", "a and b", "a, b and c"; with semicolons where a part has a comma of its own."""
    comma = "; " if any(", " in part for part in parts) else ", "
    return parts[0] if len(parts) == 1 else f"{comma.join(parts[:-1])}{comma.strip(', ')} and {parts[-1]}"


def concept(index: int, layout: StyleLayout, names: Mapping[int, str]) -> str:
    """A concept's name where it has one, else its place: 2871 -> "Hair darkness" or "Layer 7 · channel 311"."""
    return sentence(names[index]) if names.get(index) else place(index, layout)


def place(index: int, layout: StyleLayout) -> str:
    """Where a channel lives: "Layer 7 · channel 311". Raises Img2TabError where the layout has no such channel."""
    layer, channel = layout.locate(index)
    return f"Layer {layer} · channel {channel}"
