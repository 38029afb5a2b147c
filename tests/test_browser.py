"""The main job in a real browser: upload a photo, move a concept, exclude two, retrain, read the new accuracy."""

from __future__ import annotations

import re

import pytest

from tests import browser


@pytest.fixture
def home(studio, tmp_path):
    """The real table and its trained runs, in a folder of this test alone."""
    browser.furnish(tmp_path, "quantized", "screens")
    return tmp_path


@pytest.mark.browser
def test_a_photo_goes_through_the_whole_job_in_chromium(home, shared_photos):
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import expect

    with browser.dashboard(home) as address, browser.page(address) as page:
        page.get_by_text("Upload", exact=True).click()
        page.locator("input[type=file]").set_input_files(shared_photos / "canada" / "010f.jpg")
        page.get_by_alt_text("Reconstruction").wait_for()
        assert page.get_by_text("010f.jpg").first.is_visible()
        page.locator("[data-part=before_value]").filter(has_text="%").wait_for()
        before = page.locator("[data-part=before_value]").inner_text()

        slider = page.get_by_role("slider", name="Move by, standard deviations")
        slider.focus()
        for _ in range(16):
            page.keyboard.press("ArrowRight")
        page.locator(".scrub[data-after='8']").wait_for()  # the picture drawn for +8, not a blend
        browser.settle(page)
        after = page.locator("[data-part=after_value]").inner_text()
        assert re.fullmatch(r"[\d.]+.%", before) and re.fullmatch(r"[\d.]+.%", after)
        assert page.get_by_role("button", name=re.compile(r"\+8\.0 SD")).is_visible()

        browser.retrain_without_two(page)
        accuracy = page.get_by_test_id("stMain").get_by_test_id("stMetric").filter(has_text="Accuracy")
        share = float(re.match(r"[\d.]+", accuracy.get_by_test_id("stMetricValue").inner_text()).group())
        assert 85 < share < 100

        page.get_by_role("button", name="Undo: back to run 1").click()
        browser.settle(page)
        page.get_by_role("link", name="Inspect").click()
        page.get_by_alt_text("Reconstruction").wait_for()  # the photo is still there
        assert page.get_by_text("010f.jpg").first.is_visible()

        page.goto(f"{address}/concepts?target=smiling&concept=2128")  # a link from a colleague
        target = page.get_by_role("combobox", name="Target")
        target.wait_for()
        browser.settle(page)
        assert target.input_value() == "Perceived smile"
        target.click()
        page.get_by_role("option", name="Perceived gender").click()
        page.wait_for_url(re.compile("target=perceived_gender&.*concept=2128"))
        browser.settle(page)
        page.go_back()
        page.wait_for_url(re.compile("target=smiling&.*concept=2128"))
        browser.settle(page)  # until the page stands, the box of before is still there beside the new one
        expect(target).to_have_value("Perceived smile")
