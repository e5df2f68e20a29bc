"""The report in the browser: nothing in it runs or is loaded, and everybody can read it, on paper too.

With PICTURES=<folder> the README's pictures are taken of a run of the example dataset (`make pictures`).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from signalbox.report import render
from tests.e2e.harness import PROJECT, LocalApp
from tests.report_fixture import HOSTILE, labels_case, weights_case

ADDRESS = "http://report.test/report.html"
A4_WIDTH = 688
"""CSS pixels between the margins of the style sheet's A4 page: (210 - 2 x 14) mm."""
PICTURES = os.environ.get("PICTURES")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Reports by what is special of them."""
    return {
        "weights": render(weights_case().data()),
        "labels": render(labels_case().data()),
        "hostile weights": render(weights_case(hostile=HOSTILE, held=True).data()),
        "hostile labels": render(labels_case(hostile=HOSTILE).data()),
    }


ALL = ["weights", "labels", "hostile weights", "hostile labels"]


def opened(page: Page, content: str) -> list[str]:
    """Open a report, and return the list to which all is added that a report must never cause."""
    happened: list[str] = []
    page.on("dialog", lambda dialog: (happened.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: happened.append(f"console {message.text}"))
    page.on("pageerror", lambda error: happened.append(f"error {error}"))
    page.on("popup", lambda popup: happened.append(f"popup {popup.url}"))

    def serve(route: Any) -> None:
        if route.request.url == ADDRESS:
            route.fulfill(body=content, content_type="text/html; charset=utf-8")
        else:
            happened.append(f"request {route.request.url}")
            route.abort()

    page.route("**/*", serve)
    page.goto(ADDRESS, wait_until="networkidle")
    return happened


@pytest.mark.parametrize("name", ALL)
def test_nothing_runs_and_nothing_is_loaded(page: Page, pages: dict[str, str], name: str) -> None:
    happened = opened(page, pages[name])
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    for link in page.locator("nav a").all():
        link.click()
    page.mouse.wheel(0, 100_000)
    assert happened == []
    assert page.evaluate("window.owned") is None
    assert page.locator("script, iframe, object, embed, img, form").count() == 0


def test_the_pages_policy_would_stop_what_escaping_missed(page: Page, pages: dict[str, str]) -> None:
    happened = opened(page, pages["weights"])
    stopped = page.evaluate(
        """async () => {
            const stopped = new Set();
            document.addEventListener('securitypolicyviolation', event => stopped.add(event.effectiveDirective));
            const place = document.createElement('div');
            document.body.append(place);
            place.innerHTML = '<img src="https://attacker.test/x.png" onerror="window.owned = 1">';
            const script = document.createElement('script');
            script.textContent = 'window.owned = 2';
            document.body.append(script);
            await fetch('https://attacker.test/').catch(() => {});
            await new Promise(resolve => setTimeout(resolve, 200));
            return [...stopped].sort();
        }"""
    )
    assert stopped == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert page.evaluate("window.owned") is None
    assert not [what for what in happened if not what.startswith("console")]


@pytest.mark.parametrize("name", ["hostile weights", "hostile labels"])
def test_a_table_that_is_copied_holds_no_formula(page: Page, pages: dict[str, str], name: str) -> None:
    opened(page, pages[name])
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    copied = page.evaluate(
        """() => [...document.querySelectorAll('table')].map(table => {
            getSelection().selectAllChildren(table);
            return getSelection().toString();
        })"""
    )
    cells = [cell for text in copied for cell in re.split(r"[\t\n]", text)]
    assert any("'@SUM(1+1)" in cell for cell in cells)
    assert not [cell for cell in cells if re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell)]


@pytest.mark.parametrize("name", ALL)
def test_a_screen_reader_finds_its_way(page: Page, pages: dict[str, str], name: str) -> None:
    opened(page, pages[name])
    faults = page.evaluate(
        """() => {
            const all = selector => [...document.querySelectorAll(selector)];
            const named = element => (element.getAttribute('aria-label')
                || element.getAttribute('aria-labelledby')?.split(' ')
                    .map(id => document.getElementById(id)?.textContent ?? '').join(' ') || '').trim();
            const levels = all('h1, h2, h3').map(heading => +heading.tagName[1]);
            return [
                ...all('table').filter(table => !table.caption?.textContent.trim()).map(() => 'table without caption'),
                ...all('th').filter(th => !['col', 'row', 'rowgroup'].includes(th.scope))
                    .map(th => 'scope of ' + th.textContent),
                ...all('th').filter(th => !th.textContent.trim()).map(() => 'empty header'),
                ...all('svg').filter(svg => svg.getAttribute('role') !== 'img' || !named(svg)
                    || !svg.querySelector(':scope > title')?.textContent
                    || !svg.querySelector(':scope > desc')?.textContent).map(() => 'picture without words'),
                ...all('section, nav, [role=region]').filter(part => !named(part))
                    .map(part => 'no name: ' + part.className),
                ...all('[role=region]').filter(part => part.tabIndex !== 0).map(() => 'cannot be scrolled by keys'),
                ...['header', 'nav', 'main', 'footer', 'h1'].filter(tag => all('body ' + tag).length !== 1),
                ...levels.filter((level, place) => level > (levels[place - 1] ?? 0) + 1)
                    .map(level => 'heading jumps to ' + level),
                ...all('details').filter(details => !details.querySelector(':scope > summary')).map(() => 'no summary'),
                ...(document.documentElement.lang && document.title ? [] : ['language or title']),
            ];
        }"""
    )
    assert faults == []


CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = colour => {  // whatever CSS calls a colour, as the browser paints it
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].map((part, place) => place === 3 ? part / 255 : part);
    };
    const over = (top, below) => [0, 1, 2].map(part => top[part] * top[3] + below[part] * (1 - top[3])).concat(1);
    const behind = element => {
        const layers = [];
        for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const luminance = colour => colour.slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    document.querySelectorAll('details').forEach(details => details.open = true);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        const element = text.parentElement;
        if (!text.data.trim() || ['title', 'desc'].includes(element.tagName)) continue;
        const style = getComputedStyle(element), below = behind(element);
        const colour = over(rgba(element.ownerSVGElement ? style.fill : style.color), below);
        const [light, dark] = [luminance(colour), luminance(below)].sort((one, other) => other - one);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || size >= 18.66 && +style.fontWeight >= 700;
        const ratio = (light + 0.05) / (dark + 0.05);
        found.push({text: text.data.trim().slice(0, 40), ratio, least: large ? 3 : 4.5});
    }
    return found;
}"""
"""Contrast of every text with what is behind it, and the least that WCAG 2.2 (1.4.3) asks for."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["weights", "labels", "hostile weights"])
def test_every_text_has_contrast(browser: Browser, pages: dict[str, str], name: str, scheme: Any) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    opened(page, pages[name])
    found = page.evaluate(CONTRAST)
    context.close()
    assert len(found) > 200
    assert [text for text in found if text["ratio"] < text["least"]] == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [320, 400, 768, 1200])
def test_the_page_fits_every_screen(page: Page, pages: dict[str, str], name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, pages[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["weights", "labels"])
def test_paper_cuts_nothing_off_and_folds_nothing_away(page: Page, pages: dict[str, str], name: str) -> None:
    page.set_viewport_size({"width": A4_WIDTH, "height": 1000})
    opened(page, pages[name])
    page.emulate_media(media="print", color_scheme="dark")
    cut = page.evaluate(
        """() => [...document.querySelectorAll('table, svg, pre, dl')]
            .filter(part => part.getBoundingClientRect().right > innerWidth + 1)
            .map(part => part.textContent.trim().slice(0, 40))"""
    )
    assert cut == []
    folded = page.evaluate(
        """() => [...document.querySelectorAll('details table')]
            .filter(table => table.getBoundingClientRect().height < 20).length"""
    )
    assert folded == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_everything_can_be_reached_and_opened_by_keys(page: Page, pages: dict[str, str]) -> None:
    opened(page, pages["weights"])
    wanted = page.locator("a[href], summary, [tabindex='0']").count()
    reached = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        if page.evaluate("document.activeElement.matches('summary')"):
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open")
    assert len(reached) == wanted


def test_the_verdict_and_the_gates_are_on_the_first_screen(page: Page, pages: dict[str, str]) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    opened(page, pages["weights"])
    assert page.locator(".gates table").bounding_box()["y"] < 500
    assert page.locator(".gates tbody tr").last.bounding_box()["y"] < 800


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalApp]:
    """An app with the task that this repository ships with."""
    running = LocalApp(tmp_path_factory.mktemp("app") / "state").start()
    pushed = running.command("task", "push", str(PROJECT / "tasks" / "video-search"))
    assert pushed.returncode == 0, pushed.stderr
    yield running
    running.stop()


@pytest.mark.skipif(PICTURES is None, reason="takes pictures for the README where PICTURES names a folder")
def test_pictures_of_a_run_of_the_example_dataset(app: LocalApp, browser: Browser) -> None:
    dropped = app.command("drop", str(PROJECT / "examples" / "video-search.jsonl"), "--wait")
    assert dropped.returncode == 0, dropped.stdout + dropped.stderr
    (run_id,) = app.runs()
    key = f"runs/{run_id}/report.html"
    content = app.client("s3").get_object(Bucket=app.ready["bucket"], Key=key)["Body"].read().decode()
    for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
        context = browser.new_context(viewport={"width": 1200, "height": 1320}, color_scheme=scheme)
        tab = context.new_page()
        assert opened(tab, content) == []
        picture = Path(PICTURES) / name
        tab.screenshot(path=picture)
        context.close()
        assert picture.stat().st_size < 300_000
