"""The built book, read without a browser: where its links lead, what its pictures say, how heavy it is."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

pytestmark = pytest.mark.pages

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000


@cache
def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path: Path) -> set[str]:
    return {tag["id"] for tag in read(path).find_all(id=True)}


def test_every_link_within_the_book_leads_to_a_page_and_to_a_place_on_it(site, name):
    page = site / f"{name}.html"
    lost = []
    for tag in read(page).find_all(href=True):
        link = urlsplit(tag["href"])
        if link.scheme or link.netloc:
            continue
        target = (page.parent / unquote(link.path)).resolve() if link.path else page
        if not target.is_file() or (link.fragment and unquote(link.fragment) not in anchors(target)):
            lost.append(tag["href"])
    assert not lost


def test_no_link_leads_to_a_file_of_the_sources(site, name):
    links = [tag["href"] for tag in read(site / f"{name}.html").article.find_all("a", href=True)]
    assert not [link for link in links if re.search(r"\.(py|md|ipynb)(#|$)", link) and "_downloads" not in link]


def test_every_picture_says_what_it_shows(site, name):
    for picture in read(site / f"{name}.html").article.find_all("img"):
        assert len(picture.get("alt", "").split()) >= 5, picture["src"]  # without an alt text it is a file's name


def test_no_page_is_heavy(site, name):
    assert (site / f"{name}.html").stat().st_size < MEGABYTE


def test_no_page_asks_another_server_for_anything(site, name):
    page = read(site / f"{name}.html")
    asked = [tag["src"] for tag in page.find_all(src=True)]
    asked += [
        tag["href"] for tag in page.find_all("link", href=True) if tag.get("rel") in (["stylesheet"], ["preload"])
    ]
    assert not [address for address in asked if urlsplit(address).netloc]


def test_a_chapter_opens_on_colab_with_the_notebook_that_lies_beside_it(site, chapter):
    links = [tag["href"] for tag in read(site / f"{chapter}.html").find_all("a", href=True)]
    (colab,) = {link for link in links if "colab.research.google.com" in link}
    assert colab.endswith(f"/blob/main/{chapter}.ipynb")
    assert (ROOT / f"{chapter}.ipynb").is_file()
