"""`data from-logs`: a dataset of invocation logs in a folder; nothing else is lost by what is broken, or printed."""

import json
import random
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from local.data import log_files
from local.data.command import main
from local.data.log_files import Fault, LogFile
from local.data.query_sample import QuerySample
from signalbox.query import normalise
from signalbox.records import Record, read_records
from tests.builders import QUERIES, spec, task, task_yaml, truth
from tests.invocation_logs import converse, exported, lines, packed, subscribed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip-search").mkdir()
    (tmp_path / "clip-search" / "task.yaml").write_bytes(task_yaml(spec()))
    (tmp_path / "logs").mkdir()
    return tmp_path


def made(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0
) -> tuple[dict[str, Any], list[Record]]:
    """Run the command with --json; return its figures, and the records of its dataset."""
    out = folder / "real.jsonl"
    arguments = ["--task", str(folder / "clip-search"), "--out", str(out), "--json", *more]
    assert main(["data", "from-logs", str(folder / "logs"), *arguments]) == code
    records = list(read_records([out.read_bytes()], task())) if out.exists() else []
    assert all(isinstance(record, Record) for record in records)
    return json.loads(capsys.readouterr().out), records  # type: ignore[return-value]


def test_files_of_all_shapes_become_one_dataset_with_the_tasks_prompt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given logs as S3 has them, as CloudWatch Logs exports them, and as Firehose writes them
    logs = folder / "logs"
    asked = [converse(query, truth(query)) for query in QUERIES[:6]]
    (logs / "AWSLogs").mkdir()
    (logs / "AWSLogs" / "one.json.gz").write_bytes(packed(lines(*asked[:2])))
    (logs / "000000.gz").write_bytes(packed(exported(*asked[2:4])))
    (logs / "firehose").write_bytes(packed(subscribed(asked[4])) + packed(subscribed(asked[5])))
    # and what lies among them, and is none
    (logs / "amazon-bedrock-logs-permission-check").write_bytes(b"")
    (logs / "AWSLogs" / "data").mkdir()
    (logs / "AWSLogs" / "data" / "7_input.json.gz").write_bytes(packed(b"{}"))
    # When a dataset is made of them
    figures, records = made(folder, capsys)
    # Then each query stands in it with its answer and the task's prompt, for its owner alone
    assert {record.query: record.answer_text for record in records} == {
        query: truth(query) for query in QUERIES[:6]
    }
    first = json.loads((folder / "real.jsonl").read_text().splitlines()[0])
    assert first["system"] == [{"text": task().prompt}]
    assert stat.S_IMODE((folder / "real.jsonl").stat().st_mode) == 0o600
    assert (figures["files"], figures["entries"], figures["records"], figures["labelled"]) == (3, 6, 6, 6)


def test_what_is_wanted_is_said_by_metadata_model_and_time(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        converse(QUERIES[0]),
        converse(QUERIES[1], requestMetadata={"use": "test"}),
        converse(QUERIES[2], requestMetadata=None),
        converse(QUERIES[3], modelId="arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0"),
        converse(QUERIES[4], modelId="amazon.nova-micro-v1:0"),
        converse(QUERIES[5], timestamp="2026-11-19T23:59:59Z"),
        converse(QUERIES[6], timestamp="2026-11-21T00:00:00Z"),
        converse(QUERIES[7], timestamp="2026-11-20T23:59:59.5+00:00"),
        converse(QUERIES[8], timestamp="lately"),
    ]
    (folder / "logs" / "one.json.gz").write_bytes(packed(lines(*entries)))
    options = (
        "--metadata",
        "use=search",
        "--model",
        "*nova-pro*",
        "--since",
        "2026-11-20",
        "--until",
        "2026-11-20",
    )
    figures, records = made(folder, capsys, *options)
    assert {record.query for record in records} == {QUERIES[0], QUERIES[3], QUERIES[7]}
    assert figures["skipped"] == {"another time": 3, "other request metadata": 2, "another model": 1}


def test_files_of_hours_before_are_not_opened(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for hour in ("2026/11/19/08", "2026/11/20/08", "2026/11/20/09"):
        (folder / "logs" / hour).mkdir(parents=True)
        (folder / "logs" / hour / "one.json.gz").write_bytes(packed(lines(converse(f"at {hour}"))))
    figures, _ = made(folder, capsys, "--since", "2026-11-20T09:00")
    assert figures["files"] == 2


def test_only_what_is_an_answer_to_the_task_becomes_a_label(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        truth(QUERIES[0]),
        "Here you are: " + truth(QUERIES[1]),
        '{"picture": 1, "sound": 1, "words": 0}',
        "",
    ]
    entries = [converse(query, answer) for query, answer in zip(QUERIES, answers, strict=False)]
    (folder / "logs" / "one.json.gz").write_bytes(packed(lines(*entries)))
    figures, records = made(folder, capsys)
    assert {record.query: record.answer is not None for record in records} == dict(
        zip(QUERIES[:4], (True, False, False, False), strict=True)
    )
    assert figures["unlabelled"] == {
        'not a JSON object and nothing else: "…"': 1,
        "the weights sum to …, not to 1 within 0.01": 1,
    }


def test_prompts_only_leaves_all_answers_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "logs" / "one.json").write_bytes(
        lines(*(converse(query, truth(query)) for query in QUERIES[:5]))
    )
    figures, records = made(folder, capsys, "--prompts-only")
    assert (figures["records"], figures["labelled"]) == (5, 0)
    assert all(record.answer is None for record in records)


def test_a_query_stands_once_and_personal_data_not_at_all(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        converse("Crowd cheering!"),
        converse("crowd cheering", truth(QUERIES[0])),
        converse("crowd cheering", truth(QUERIES[-1])),
        converse("videos of jane@example.com"),
        converse("videos of john@example.com"),
        converse("x" * 513),
        converse(" \n "),
    ]
    (folder / "logs" / "one.json.gz").write_bytes(packed(lines(*entries)))
    figures, records = made(folder, capsys)
    assert {record.query for record in records} == {"crowd cheering", "videos of [e-mail address]"}
    assert figures["asked"] == {
        "once": 0,
        "2 to 9 times": 2,
        "10 to 99 times": 0,
        "100 times and more": 0,
        "most": 3,
    }
    assert (figures["differing_answers"], figures["masked"]) == (1, {"e-mail address": 2})
    assert figures["refused"] == {
        "the query has … characters; the API takes at most 512": 1,
        "the query is empty": 1,
    }


def test_the_query_is_found_among_instructions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = f"{task().prompt}\n\n{QUERIES[0]}"
    (folder / "logs" / "one.json").write_bytes(
        lines(converse(prompt), converse(f"Weigh. Query: {QUERIES[1]}"))
    )
    _, records = made(folder, capsys)
    assert {record.query for record in records} == {QUERIES[0], f"Weigh. Query: {QUERIES[1]}"}
    (folder / "real.jsonl").unlink()
    figures, records = made(folder, capsys, "--query-pattern", "Query: (.+)")
    assert {record.query for record in records} == {QUERIES[1]}
    assert figures["skipped"] == {"no query where --query-pattern says": 1}


def test_what_is_broken_is_named_and_everything_else_is_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = folder / "logs"
    random.seed(1)
    queries = [f"{random.getrandbits(200):x}" for _ in range(2_000)]
    whole = packed(lines(*map(converse, queries)))
    (logs / "a-cut.json.gz").write_bytes(whole[: len(whole) * 3 // 4])
    (logs / "b-no-gzip.json.gz").write_bytes(b"\x1f\x8b" + bytes(99))
    (logs / "c-line.json.gz").write_bytes(
        packed(lines(converse("one")) + b"{oops\n\n" + lines(converse("two")))
    )
    body = {"inputBodyS3Path": "s3://logs/data/gone_input.json.gz"}
    (logs / "d-body.json.gz").write_bytes(packed(lines(converse("", input=body), converse("three"))))
    figures, records = made(folder, capsys, code=7)
    found = {record.query for record in records}
    assert {"one", "two", "three"} <= found and len(found) > 1_000
    faults = [(Path(fault["file"]).name, fault["line"], fault["reason"]) for fault in figures["faults"]]
    assert figures["unreadable"] == len(faults) == 4
    cut, no_gzip, bad_line, no_body = faults
    assert cut == (
        "a-cut.json.gz",
        len(found) - 3 + 1,
        "cannot be read from here on: Compressed file ended before the end-of-stream marker was reached",
    )
    assert no_gzip[:2] == ("b-no-gzip.json.gz", 1)
    assert bad_line == ("c-line.json.gz", 2, "not JSON")
    assert no_body == ("d-body.json.gz", 1, "its body in data/ cannot be read: no such file or directory")


def test_a_large_body_is_found_in_a_copy_of_the_bucket(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hour = folder / "logs" / "2026" / "11" / "20" / "09"
    (hour / "data").mkdir(parents=True)
    body = {"inputBodyS3Path": "s3://my-logs/AWSLogs/2026/11/20/09/data/7_input.json.gz"}
    (hour / "one.json.gz").write_bytes(packed(lines(converse("", truth(QUERIES[0]), input=body))))
    content = {"messages": [{"role": "user", "content": [{"text": QUERIES[0]}]}]}
    (hour / "data" / "7_input.json.gz").write_bytes(packed(json.dumps(content).encode()))
    _, records = made(folder, capsys)
    assert [(record.query, record.answer_text) for record in records] == [(QUERIES[0], truth(QUERIES[0]))]


def test_a_person_is_told_numbers_and_reasons_and_no_query(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J secret plans of jane@example.com"
    bad = evil + '" and'
    entries = [converse(evil, truth(QUERIES[0])), converse(f"{evil} 2", bad), converse(evil * 20, bad)]
    (folder / "logs" / "one.json.gz").write_bytes(packed(lines(*entries) + evil.encode() + b"\n"))
    arguments = ["--task", str(folder / "clip-search"), "--out", str(folder / "real.jsonl")]
    assert main(["data", "from-logs", str(folder / "logs"), *arguments]) == 7
    said = capsys.readouterr()
    assert not [word for word in ("secret", "plans", "jane", "\x1b") if word in said.out + said.err]
    assert said.out.startswith(f"wrote {folder / 'real.jsonl'}  for task clip-search\n")
    assert "one.json.gz line 4: not JSON" in said.out
    assert "check it: python -m local data check" in said.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--metadata", "use"], "--metadata wants KEY=VALUE"),
        (["--since", "yesterday"], "--since wants a date or a moment"),
        (["--query-pattern", "("], "--query-pattern is no regular expression"),
        (["--query-pattern", "x"], "must have a group"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--out", "logs"], "is there already"),
        (["--out", "no-such-folder/real.jsonl"], "there is no folder no-such-folder"),
        (["--task", "no-such-task"], "there is no task.yaml in no-such-task"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said(
    folder: Path,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    arguments = ["--task", "clip-search", "--out", "real.jsonl", *more]
    assert main(["data", "from-logs", "logs", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_nothing_found_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "logs" / "one.json.gz").write_bytes(
        packed(lines(converse("x", errorCode="ThrottlingException")))
    )
    figures, records = made(folder, capsys, code=4)
    assert (figures["skipped"], records) == ({"the call failed": 1}, [])


def test_the_sample_is_even_and_the_same_in_any_order() -> None:
    queries = [f"query {number}" for number in range(2_000)]
    asked = queries + queries[:500] * 3
    samples = []
    for seed in (1, 2):
        random.Random(seed).shuffle(asked)
        sample = QuerySample(task(), 400)
        for query in asked:
            sample.add(query)
        samples.append(sample)
    kept = [{each.record.query: each.times for each in sample._kept.values()} for sample in samples]
    # The same ones each time, each counted as often as it came, and frequent ones no likelier to be kept
    assert kept[0] == kept[1] and len(kept[0]) == 400
    assert all(times == (4 if query in queries[:500] else 1) for query, times in kept[0].items())
    assert 70 < sum(times == 4 for times in kept[0].values()) < 130
    assert 1_700 < samples[0].figures()["different_queries"] < 2_300


def test_lines_are_read_in_bounded_memory_and_an_endless_one_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_LINE_BYTES", 1 << 20)
    file = folder / "logs" / "one.json.gz"
    file.write_bytes(packed(lines(converse("one")) + b"x" * (64 << 20) + b"\n" + lines(converse("two"))))
    tracemalloc.start()
    read = list(LogFile(str(file), lambda: file.open("rb"), lambda address: b"").lines())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [found if isinstance(found, Fault) else found[0] for found in read] == [
        1,
        Fault(str(file), 2, "longer than 1,048,576 bytes"),
        3,
    ]
    assert peak < 16 << 20


def test_what_is_made_is_what_the_pipeline_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "logs" / "one.json.gz").write_bytes(packed(lines(*(converse(q, truth(q)) for q in QUERIES))))
    _, records = made(folder, capsys)
    assert len(records) == len({normalise(query) for query in QUERIES})
    assert main(["data", "check", str(folder / "real.jsonl"), "--task", str(folder / "clip-search")]) == 0


SMALL = lines(*(converse(f"{place:x} {random.Random(place).getrandbits(99):x}") for place in range(300)))
WHOLE = packed(SMALL)


@pytest.mark.parametrize(
    ("content", "least"),
    [
        (WHOLE[: len(WHOLE) // 2], 100),
        (WHOLE[:-1], 300),
        (WHOLE + b"garbage", 300),
        (WHOLE[: len(WHOLE) // 2] + bytes(64) + WHOLE[len(WHOLE) // 2 + 64 :], 100),
        (WHOLE[:-8] + bytes(8), 300),
        (packed(WHOLE)[:-1], 300),
        (packed(WHOLE + b"garbage"), 300),
        (WHOLE + packed(lines(converse("more")))[:-9], 300),
        (WHOLE[:2], 0),
    ],
    ids=[
        "half",
        "cut",
        "trailing",
        "spoilt",
        "checksum",
        "twice, cut",
        "twice, trailing",
        "members",
        "start",
    ],
)
def test_a_small_file_that_breaks_off_is_used_up_to_there(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, least: int
) -> None:
    (folder / "logs" / "one.json.gz").write_bytes(content)
    figures, records = made(folder, capsys, code=7 if least else 4)
    assert len(records) >= least
    last = figures["faults"][-1]
    assert last["reason"].startswith("cannot be read from here on")
    assert last["line"] == figures["entries"] + figures["unreadable"]


@pytest.mark.parametrize(
    "content",
    [packed(SMALL[:99]) + packed(SMALL[99:]), WHOLE + bytes(512), packed(packed(WHOLE)), packed(b"") + WHOLE],
    ids=["members", "padding", "three times", "an empty member"],
)
def test_a_whole_file_is_read_whole_however_it_is_packed(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (folder / "logs" / "one.json.gz").write_bytes(content)
    figures, records = made(folder, capsys)
    assert (len(records), figures["faults"]) == (300, [])


def test_files_none_of_which_is_of_the_time_are_no_fault_of_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hour = folder / "logs" / "2026" / "11" / "20" / "09"
    hour.mkdir(parents=True)
    (hour / "one.json").write_bytes(lines(converse("one")))
    figures, _ = made(folder, capsys, "--since", "2026-12-01", code=4)
    assert (figures["files"], figures["records"]) == (0, 0)


def test_a_source_that_is_not_there_is_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--task", str(folder / "clip-search"), "--out", str(folder / "real.jsonl")]
    assert main(["data", "from-logs", str(folder / "lost"), *arguments]) == 2
    assert "there is nothing at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("until", "code"), [("9999-12-31", 0), ("9999-12-30", 0), ("0001-01-01", 4), ("2026-11-20", 0)]
)
def test_a_span_may_end_with_the_last_day_there_is(
    folder: Path, capsys: pytest.CaptureFixture[str], until: str, code: int
) -> None:
    (folder / "logs" / "one.json").write_bytes(lines(converse("one")))
    made(folder, capsys, "--until", until, code=code)
