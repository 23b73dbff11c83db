"""The pages in Chromium: nothing complains, nothing sticks out, and what moves can be moved by hand and by keyboard."""

import pytest

pytestmark = pytest.mark.pages

SUMS = "book/01_floats_do_not_add_up.html"
SLOTS = "book/04_yesterday_i_worked.html"
# What is wider than the column it stands in, and would have to be scrolled sideways to be read.
STICKS_OUT = """
selector => [...document.querySelectorAll(selector)]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible")
  .map(e => e.innerText.slice(0, 200))
"""
WIDER_THAN_THE_WINDOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_a_page_opens_without_a_complaint_and_fits_its_window(open_page, name):
    page = open_page(f"{name}.html")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(WIDER_THAN_THE_WINDOW) <= 0, (width, scheme)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.complaints == []


def test_code_is_read_without_scrolling(open_page, chapter):
    page = open_page(f"{chapter}.html")
    assert page.evaluate(STICKS_OUT, "article .cell pre") == []


def test_the_search_finds_a_word_and_its_page(open_page):
    page = open_page("search.html?q=cursor")
    page.wait_for_selector("#search-results ul.search li a")
    found = page.locator("#search-results ul.search li a").evaluate_all("links => links.map(link => link.href)")
    assert any("03_the_kv_cache" in link for link in found)
    assert page.complaints == []


def test_the_sum_of_chapter_1_follows_the_keyboard(open_page):
    page = open_page(SUMS)
    rows, total = page.locator(".sum-order-row"), page.locator(".sum-order-result .sum")
    before = total.inner_text()
    assert rows.count() == 8
    rows.nth(2).focus()  # the billion
    page.keyboard.press("End")
    assert total.inner_text() != before
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "1,000,000,000, at place 8 of 8"
    )
    page.keyboard.press("Home")
    assert "at place 1 of 8" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "1,000,000,000 is at place 1 now" in page.locator(".sum-order-spoken").inner_text()


def test_the_sum_of_chapter_1_follows_the_pointer(open_page):
    page = open_page(SUMS)
    numbers = page.locator(".sum-order-row .number")
    first = numbers.nth(0).inner_text()
    handles = page.locator(".sum-order-row .handle")
    handles.nth(0).drag_to(handles.nth(4))
    assert numbers.nth(4).inner_text() == f"+{first}"  # no longer the first term
    assert page.complaints == []


def test_where_scripts_are_off_the_sum_of_chapter_1_is_a_table(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{SUMS}")
    assert page.locator(".sum-order table tr").count() == 9
    context.close()


def chosen(page) -> list[str]:
    """The label of the slot that is chosen on the map, and what its row shows."""
    return [*page.locator('.slots-map button[aria-pressed="true"]').evaluate_all("all => all.map(b => b.ariaLabel)"),
            page.locator(".slots-title").inner_text()]  # fmt: skip


def test_the_slots_of_chapter_4_follow_the_keyboard(open_page):
    page = open_page(SLOTS)
    assert page.locator(".slots-map button").count() == 4 * 2 * 3  # layers, K/V heads, slots
    before = chosen(page)
    page.locator('.slots-map button[aria-pressed="true"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    after = chosen(page)
    assert len(before) == len(after) == 2
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert page.locator(".slots-words li").count() == 32  # d_h
    assert page.complaints == []


def test_on_fixed_order_no_slot_of_chapter_4_differs_whatever_is_chosen(open_page):
    page = open_page(SLOTS)
    page.get_by_label("fixed order", exact=True).check()
    for words in range(3, 9):
        page.get_by_label(f"{words}", exact=True).check()
        for rows in ("K", "V"):
            page.get_by_label(rows, exact=True).check()
            assert page.locator(".slots-total").inner_text().startswith("0 of 48")
            assert page.locator(".slots-map button.differs").count() == 0


def test_where_scripts_are_off_the_slots_of_chapter_4_are_a_table(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{SLOTS}")
    assert page.locator(".slots table tr").count() > 1
    assert page.locator(".slots-map").count() == 0
    context.close()
