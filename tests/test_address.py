"""The address of a view, where a click comes in the middle of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dashboard.state import address, visit


class Clicked(BaseException):
    """As Streamlit ends a run in which somebody clicks: at the next thing that is sent to the browser."""


class Query(dict):
    """The address in a browser that has it before the run is ended."""

    to_dict = dict.copy

    def from_dict(self, here):
        self.clear()
        self.update(here)
        raise Clicked


def test_of_2_runs_the_first_ended_by_a_click_as_it_wrote_the_address_the_second_does_not_go_there_again(monkeypatch):
    gone_to = []
    monkeypatch.setattr(address, "st", SimpleNamespace(session_state={}, query_params=Query(concept="nose")))
    monkeypatch.setattr(visit, "table_names", lambda: ["default"])
    monkeypatch.setattr(visit, "standing_job", lambda: SimpleNamespace(state="done"))
    monkeypatch.setattr(address, "_here", lambda: {"concept": "hair-long"})
    monkeypatch.setattr(address, "_by_history", lambda: False)
    monkeypatch.setattr(address, "_find_run", lambda: None)
    monkeypatch.setattr(address, "_VIEW", {"concept": gone_to.append})
    with pytest.raises(Clicked):
        address.write()
    address.read()  # the click was taken in before this, and chose another concept
    assert gone_to == []
    address.st.query_params.update(concept="by a link")
    address.read()
    assert gone_to == ["by a link"]
