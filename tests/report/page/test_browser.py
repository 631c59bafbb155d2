"""The page of a run in a real browser: it moves, sorts, changes its colours, and no name in it does anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.report.page.conftest import HOSTILE, SETTLED, look, opened, press
from tlm.report.page.run_page import run_page


@pytest.fixture(scope="module")
def address(content: dict[str, Any], events: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(run_page(content, events), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Chrome, address: str) -> Iterator[Chrome]:
    yield from opened(browser, address)


def canvas(page: Chrome) -> WebElement:
    return page.find_element(By.ID, "timeline-canvas")


def view(page: Chrome) -> tuple[int, int]:
    page.execute_async_script(SETTLED)
    found = canvas(page)
    return int(found.get_attribute("data-from") or -1), int(found.get_attribute("data-to") or -1)


def test_hostile_names_are_texts(page: Chrome) -> None:
    assert page.title == f"{HOSTILE} on {HOSTILE}"
    assert page.find_element(By.TAG_NAME, "h1").text == page.title
    assert page.find_elements(By.TAG_NAME, "img") == []


def test_keys_zoom_move_and_show_all(page: Chrome, run: Any) -> None:
    whole = (0, run.result.time_ps)
    assert view(page) == whole
    page.execute_script("arguments[0].focus()", canvas(page))
    press(page, "+", "+")
    start, end = view(page)
    assert end - start == pytest.approx(run.result.time_ps / 4, rel=1e-3)
    press(page, Keys.ARROW_RIGHT)
    assert view(page)[0] > start
    press(page, Keys.ARROW_LEFT, "-")
    assert sum(view(page)) == pytest.approx(run.result.time_ps, rel=1e-3)
    press(page, Keys.HOME)
    assert view(page) == whole


def test_the_wheel_zooms_where_it_is_once_the_drawing_has_the_focus(page: Chrome, run: Any) -> None:
    wheel = (
        "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -400, clientX: arguments[1], cancelable: true}))"
    )
    box = canvas(page).rect
    middle = box["x"] + 160 + (box["width"] - 160) / 4
    page.execute_script(wheel, canvas(page), middle)
    assert view(page) == (0, run.result.time_ps)  # the page scrolls
    page.execute_script("arguments[0].focus()", canvas(page))
    page.execute_script(wheel, canvas(page), middle)
    start, end = view(page)
    assert end - start == pytest.approx(run.result.time_ps / 2.718, rel=0.01)
    assert start + (end - start) / 4 == pytest.approx(run.result.time_ps / 4, rel=0.02)


def test_dragging_moves_and_the_tip_tells(page: Chrome, run: Any) -> None:
    page.find_element(By.CSS_SELECTOR, "[data-act=in]").click()
    start, end = view(page)
    ActionChains(page).move_to_element_with_offset(canvas(page), 100, -40).click_and_hold().move_by_offset(
        -120, 0
    ).release().perform()
    moved = view(page)
    assert moved[0] > start
    assert moved[1] - moved[0] == pytest.approx(end - start, abs=2)
    track = page.execute_script("return arguments[0].getBoundingClientRect().top + 26 + 12", canvas(page))
    move = "arguments[0].dispatchEvent(new PointerEvent('pointermove', {clientX: 600, clientY: arguments[1]}))"
    page.execute_script(move, canvas(page), track)
    tip = page.find_element(By.ID, "timeline-tip")
    assert tip.text.startswith("forward: ")
    assert " to " in tip.text


def test_every_interval_can_be_read_with_keys(page: Chrome) -> None:
    page.execute_script("arguments[0].focus()", canvas(page))
    read = page.find_element(By.ID, "timeline-read")
    press(page, Keys.ARROW_DOWN)
    first = read.text
    assert first.startswith("forward: ")
    press(page, "p")
    assert read.text.startswith("forward: ")
    assert read.text != first
    press(page, "n")
    assert read.text == first
    press(page, *[Keys.ARROW_DOWN] * 8)  # eight engines, then streams: the first has the hostile name
    press(page, *["p"] * 30)
    assert HOSTILE in read.text
    page.find_element(By.CSS_SELECTOR, "#timeline-groups input").click()
    assert "forward streams" in read.text


def test_tables_sort_by_clicks_and_keys(page: Chrome) -> None:
    table = page.find_element(By.CSS_SELECTOR, "#layers table.sorts")
    headings = table.find_elements(By.TAG_NAME, "th")
    weights = [heading.text for heading in headings].index("weights")

    def values() -> list[float]:
        cells = table.find_elements(By.CSS_SELECTOR, f"tbody td:nth-child({weights + 1})")
        return [float(cell.get_attribute("data-value") or "nan") for cell in cells]

    button = headings[weights].find_element(By.TAG_NAME, "button")
    button.click()
    assert (values(), headings[weights].get_attribute("aria-sort")) == (sorted(values())[::-1], "descending")
    page.execute_script("arguments[0].focus()", button)
    press(page, Keys.ENTER)
    assert (values(), headings[weights].get_attribute("aria-sort")) == (sorted(values()), "ascending")
    headings[0].find_element(By.TAG_NAME, "button").click()
    assert headings[weights].get_attribute("aria-sort") is None
    assert headings[0].get_attribute("aria-sort") == "ascending"


def colours(page: Chrome) -> tuple[str, str]:
    """Of the page, and of a pixel of the drawing's background."""
    pixel = "const c = arguments[0]; return String(c.getContext('2d').getImageData(2, c.height - 2, 1, 1).data)"
    page.execute_async_script(SETTLED)
    body = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    return body, page.execute_script(pixel, canvas(page))


def test_light_and_dark_follow_the_system_and_the_switch(page: Chrome) -> None:
    light = colours(page)
    look(page, 1200, "dark")
    dark = colours(page)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    switch = page.find_element(By.ID, "theme")
    switch.click()
    assert (switch.text, colours(page)) == ("Theme: light", light)
    switch.click()
    look(page, 1200, "light")
    assert (switch.text, colours(page)) == ("Theme: dark", dark)
    switch.click()
    assert (switch.text, colours(page)) == ("Theme: auto", light)


def test_a_narrow_window_has_no_sideways_scrolling(page: Chrome) -> None:
    look(page, 360, "light")
    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    page.execute_async_script(SETTLED)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    assert canvas(page).size["width"] <= 360
    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.id") == "theme"
    assert page.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_tables_need_no_script(browser: Chrome, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        assert len(browser.find_elements(By.CSS_SELECTOR, "#layers td")) > 0
        assert not canvas(browser).is_displayed()
        assert "drawn by the script of this page" in browser.find_element(By.ID, "timeline").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
