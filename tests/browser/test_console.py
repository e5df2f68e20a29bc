"""The console as a person has it in the browser: of an app that is up, while a run comes to its end."""

import http.client
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from signalbox import console
from signalbox.failure import Failure
from signalbox.run import Moment, Run, State
from tests.builders import dataset_object
from tests.e2e.harness import LocalApp, labelled, push_small_tasks, until

RUN_MILLISECONDS = 120_000
START = datetime(2026, 11, 21, 9, 14, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalApp]:
    """An app with a task that is quick to train for."""
    running = LocalApp(tmp_path_factory.mktemp("app") / "state").start()
    push_small_tasks(running, tmp_path_factory.mktemp("tasks"))
    yield running
    running.stop()


def test_the_page_follows_a_run_to_its_report_and_then_rests(
    app: LocalApp, page: Page, tmp_path: Path
) -> None:
    # Given the console of an app, opened before anything was dropped
    page.goto(app.ready["console"])
    section = page.locator("#task-embedded-only")
    until(lambda: page.reload() and section.count())
    expect(section).to_contain_text("No run yet")
    # When a dataset is dropped, and the page is loaded again once its run is known to it
    dataset = tmp_path / "drop.jsonl"
    dataset.write_bytes(labelled("cats"))
    dropped = app.command("drop", str(dataset), "--task", "embedded-only", "--json")
    assert dropped.returncode == 0, dropped.stderr
    until(lambda: page.reload() and section.locator(".run").count())
    # Then it comes to the verdict by itself, with a link to the report
    expect(section.locator(".badge").first).to_have_text("PROMOTED", timeout=RUN_MILLISECONDS)
    report = section.get_by_role("link", name=re.compile("^Report"))
    expect(report).to_be_visible(timeout=RUN_MILLISECONDS)
    expect(section.locator(".live")).to_contain_text("live")
    # And rests
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0, timeout=RUN_MILLISECONDS)
    expect(page.get_by_role("status")).to_contain_text("Nothing is under way")
    # And the report opens
    report.click()
    expect(page).to_have_url(re.compile(r"/console/embedded-only-[0-9a-f]{12}/report\.html$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("PROMOTED")


def test_the_page_loads_itself_again_while_a_run_is_under_way(page: Page) -> None:
    pages = [content(State.RECEIVED, State.ACCEPTED), content(State.RECEIVED, State.REJECTED)]
    loaded = []

    def serve(route: Any) -> None:
        loaded.append(route.request.url)
        body = pages[min(len(loaded), len(pages)) - 1].replace('content="5"', 'content="1"')
        route.fulfill(body=body, content_type="text/html; charset=utf-8")

    page.route("**/console/", serve)
    page.goto("http://console.test/console/")
    expect(page.locator(".badge")).to_have_text("ACCEPTED")
    expect(page.locator(".badge")).to_have_text("REJECTED")
    page.wait_for_timeout(1500)  # what must not happen cannot be awaited
    assert len(loaded) == 2


HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    "</style></ul></li>{{ 7 * 7 }}"
)


def test_what_a_dataset_or_a_reason_brings_is_shown_and_does_nothing(page: Page) -> None:
    problem = {"line": 3, "field": HOSTILE, "reason": HOSTILE}
    rejected = run(
        State.RECEIVED,
        State.REJECTED,
        dataset=dataset_object(key=f"datasets/clip-search/{HOSTILE}"),
        summary={"reasons": [HOSTILE], "problems": [problem]},
    )
    failure = Failure(step=HOSTILE, reason=HOSTILE, remedy=HOSTILE)
    failed = run(State.FAILED, failure=failure, dataset=rejected.dataset)
    page.set_content(console.render(["clip-search"], {}, {"clip-search": [rejected, failed]}))
    assert page.title() == "Signalbox console"
    assert page.locator("script, img").count() == 0
    assert page.locator(".run").count() == 2
    for shown in page.locator(".why, .facts").all():
        expect(shown).to_contain_text("<script>")
    expect(page.locator("body")).not_to_contain_text("49")


@pytest.mark.parametrize("width", [400, 1100])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_can_be_read(page: Page, width: int, scheme: Any) -> None:
    unbroken = "word" * 200
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    rejected = run(State.RECEIVED, State.REJECTED, summary={"reasons": [unbroken]}, note=unbroken)
    page.set_content(console.render(["clip-search"], {}, {"clip-search": [rejected]}))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # the contrast that WCAG 2.2 asks of text (success criterion 1.4.3)
    for element in ("body", ".facts", ".badge", ".why", "summary"):
        assert page.evaluate(CONTRAST, element) >= 4.5, element


CONTRAST = """selector => {
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number)
      .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const text = luminance(getComputedStyle(document.querySelector(selector)).color);
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  return (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05);
}"""


@pytest.mark.parametrize(
    "path",
    [
        "/console/../tasks/small/task.yaml",
        "/console/..%2ftasks%2fsmall%2ftask.yaml",
        "/console/%2e%2e/tasks/small/task.yaml",
        "/console//index.html",
        "/console/small-000000000000/train.jsonl",
        "/console/small-000000000000/report.html%00",
        "/console/small-000000000000/report.html%0a",
        "/console/small-000000000000/report.html",
        "/console/x/../small-000000000000/report.html",
        "/console/report.html",
        "/console/index.html/",
    ],
)
def test_no_other_object_of_the_bucket_can_be_had(app: LocalApp, path: str) -> None:
    assert request(app, "GET", path).status == 404


def test_the_console_can_only_be_read(app: LocalApp) -> None:
    refused = request(app, "PUT", "/console/index.html")
    assert (refused.status, refused.getheader("allow")) == (405, "GET, HEAD")
    moved = request(app, "GET", "/console")
    assert (moved.status, moved.getheader("location")) == (308, "/console/")
    assert "script-src" not in request(app, "HEAD", "/console/").getheader("content-security-policy")
    assert "default-src 'none'" in request(app, "HEAD", "/console/").getheader("content-security-policy")


def request(app: LocalApp, method: str, path: str) -> http.client.HTTPResponse:
    """Send a path as it is, which a client of a higher level would tidy up."""
    connection = http.client.HTTPConnection("127.0.0.1", app.api_port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def run(*states: State, note: str = "", **attributes: Any) -> Run:
    """A run that has come through these states."""
    history = [Moment(state=state, at=START, note=note) for state in states]
    content = {
        "id": "clip-search-000000000001",
        "task": "clip-search",
        "state": states[-1],
        "history": history,
    }
    times = {"created_at": START, "updated_at": START}
    return Run.model_validate(content | times | {"dataset": dataset_object()} | attributes)


def content(*states: State) -> str:
    return console.render(["clip-search"], {}, {"clip-search": [run(*states)]})
