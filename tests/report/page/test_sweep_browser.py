"""The page of a sweep in a real browser: points are found by pointer and keys, the table filters, names do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests.report.page.conftest import HOSTILE, SETTLED, look, opened, press
from tlm.report.page.folder import folder_page


@pytest.fixture(scope="module")
def address(sweep_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(folder_page(sweep_folder), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Chrome, address: str) -> Iterator[Chrome]:
    yield from opened(browser, address)


def canvas(page: Chrome) -> WebElement:
    return page.find_element(By.ID, "scatter-canvas")


def test_hostile_names_are_texts(page: Chrome) -> None:
    assert page.title == f"{HOSTILE}: sweep of 6 points"
    assert page.find_elements(By.TAG_NAME, "img") == []


def test_keys_walk_over_the_points_and_go_to_the_row(page: Chrome) -> None:
    page.execute_async_script(SETTLED)
    page.execute_script("arguments[0].focus()", canvas(page))
    visited = []
    for _ in range(5):
        press(page, Keys.ARROW_RIGHT)
        visited.append(canvas(page).get_attribute("data-selected"))
    assert set(visited[:4]) == {"1", "2", "4", "5"}  # the others cannot be
    assert visited[4] == visited[0]
    read = page.find_element(By.ID, "scatter-read").text
    assert read.startswith(f"point {visited[4]}")
    assert "backward_engine.units = " in read
    assert "dram.channels = " in read
    press(page, Keys.ENTER)
    first = "return document.activeElement.tagName + document.activeElement.cells[0].textContent"
    assert page.execute_script(first) == f"TR{visited[4]}"


def test_the_configuration_stands_under_the_pointer_for_any_axes(page: Chrome) -> None:
    Select(page.find_element(By.ID, "scatter-x")).select_by_visible_text("backward_engine.units")
    Select(page.find_element(By.ID, "scatter-y")).select_by_visible_text("area")
    page.find_element(By.ID, "scatter-log").click()
    page.execute_async_script(SETTLED)
    sweep = """
    const canvas = arguments[0], box = canvas.getBoundingClientRect(), tip = document.getElementById("scatter-tip");
    const found = new Set();
    for (let x = 0; x < box.width; x += 8) for (let y = 0; y < box.height; y += 8) {
      canvas.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + x, clientY: box.top + y}));
      if (!tip.hidden) found.add(tip.textContent);
    }
    return [...found];
    """
    tips = page.execute_script(sweep, canvas(page))
    assert len(tips) >= 2
    assert {tip.split("\n")[0].removesuffix(", on the front") for tip in tips} <= {f"point {n}" for n in (1, 2, 4, 5)}
    assert all("energy " in tip and " to " in tip and "area " in tip for tip in tips)


def test_the_table_filters_and_sorts(page: Chrome) -> None:
    rows = page.find_elements(By.CSS_SELECTOR, "#points-table tbody tr")
    choose = Select(page.find_element(By.ID, "points-filter"))

    def shown() -> list[str | None]:
        return [row.get_attribute("data-mark") for row in rows if row.is_displayed()]

    assert len(shown()) == 6
    choose.select_by_visible_text("failed ones")
    assert shown() == ["failed", "failed"]
    choose.select_by_visible_text("without failed ones")
    assert len(shown()) == 4
    assert page.find_element(By.ID, "points-count").text == "4 of 6 points"
    choose.select_by_visible_text("the front")
    assert set(shown()) == {"front"}
    page.find_element(By.XPATH, "//table[@id='points-table']//th/button[text()='point']").click()
    order = "return [...document.querySelectorAll('#points-table tbody tr')].map((row) => row.cells[0].textContent)"
    assert page.execute_script(order) == ["5", "4", "3", "2", "1", "0"]


def test_a_narrow_and_dark_window(page: Chrome) -> None:
    look(page, 360, "dark")
    page.execute_async_script(SETTLED)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    pixel = (
        "const c = arguments[0]; return [...c.getContext('2d').getImageData(2, c.height - 2, 1, 1).data].slice(0, 3)"
    )
    assert max(page.execute_script(pixel, canvas(page))) < 60
