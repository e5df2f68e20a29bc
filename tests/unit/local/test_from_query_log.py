"""`data from-query-log`: a dataset of prompts out of the router's sample."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.data.command import main
from signalbox.records import read_records
from tests.builders import QUERIES, spec, task, task_yaml


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip-search").mkdir()
    (tmp_path / "clip-search" / "task.yaml").write_bytes(task_yaml(spec()))
    (tmp_path / "kept" / "2026" / "11" / "21" / "08").mkdir(parents=True)
    return tmp_path


def kept(query: str, at: str = "2026-11-21T08:00Z", familiarity: float | None = 0.5) -> dict[str, Any]:
    return {
        "at": at,
        "query": query,
        "source": "embedded",
        "run_id": "clip-search-1",
        "familiarity": familiarity,
    }


def put(folder: Path, *lines: dict[str, Any], broken: bytes = b"") -> None:
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines) + broken
    (folder / "kept" / "2026" / "11" / "21" / "08" / "0a1b.jsonl").write_bytes(content)


def made(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0
) -> tuple[Any, list[Any]]:
    out = folder / "asked.jsonl"
    arguments = ["--task", str(folder / "clip-search"), "--out", str(out), "--json", *more]
    assert main(["data", "from-query-log", str(folder / "kept"), *arguments]) == code
    records = list(read_records([out.read_bytes()], task())) if out.exists() else []
    return json.loads(capsys.readouterr().out), records


def test_each_query_stands_once_and_has_no_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, *(kept(query) for query in [*QUERIES[:5], QUERIES[0], QUERIES[0].upper() + "!"]))
    figures, records = made(folder, capsys)
    assert {record.key for record in records} == set(QUERIES[:5])
    assert all(record.answer_text is None for record in records)
    assert (figures["entries"], figures["different_queries"], figures["asked"]["most"]) == (7, 5, 3)


def test_what_the_student_does_not_know_can_be_had_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, kept("strange", familiarity=0.01), kept("known"), kept("unknown", familiarity=None))
    figures, records = made(folder, capsys, "--familiarity-below", "0.05")
    assert [record.query for record in records] == ["strange"]
    assert figures["skipped"] == {"familiar to the student, or it was not asked": 2}


def test_a_span_of_time_can_be_had_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, kept("before", "2026-11-19T23:00Z"), kept("then", "2026-11-20T23:00Z"), kept("after"))
    _, records = made(folder, capsys, "--since", "2026-11-20", "--until", "2026-11-20")
    assert [record.query for record in records] == ["then"]


def test_a_broken_line_is_named_and_not_quoted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, kept("one"), broken=b'{"query": "secret plans\n')
    figures, records = made(folder, capsys, code=7)
    assert [record.query for record in records] == ["one"]
    (fault,) = figures["faults"]
    assert (fault["line"], fault["reason"]) == (2, "no line of a query log")


def test_an_empty_log_is_said_to_have_no_query(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, _ = made(folder, capsys, code=4)
    assert (figures["files"], figures["records"]) == (0, 0)
