"""Tables as CSV that a spreadsheet shows and never runs: names in them are typed by people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# what a spreadsheet takes for a formula (OWASP, CSV injection); the full-width ones are folded to the same by some
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def cell(text: str) -> str:
    """A text as a spreadsheet shows it: where it would begin a formula, an apostrophe stands before it.

    Spaces before it do not help, some programs drop them; nor does what another program takes for the end of a cell,
    after which the apostrophe is put too. A number written as text stays as it is.
    """
    return "".join(_safe(part) for part in re.split(r"([;\t|\r\n])", text))


def _safe(part: str) -> str:
    if not part.lstrip().lstrip("\ufeff\u200b").lstrip().startswith(FORMULA):
        return part
    try:
        float(part)
    except ValueError:
        return f"'{part}"
    return part


def csv(table: pd.DataFrame) -> str:
    """The text of a CSV file, no index; floats with all their digits, texts and headings as `cell` makes them."""
    import pandas as pd

    safe = table.copy()
    for number in range(len(table.columns)):
        if not pd.api.types.is_numeric_dtype(table.dtypes.iloc[number]):
            values = table.iloc[:, number].astype(object)
            safe.isetitem(number, values.map(lambda value: cell(value) if isinstance(value, str) else value))
    safe.columns = [cell(str(name)) for name in table.columns]
    return safe.to_csv(index=False, lineterminator="\n")
