"""`data from-csv`: a table becomes a dataset that the pipeline takes, and what is wrong with it is said."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.commands import main
from signalbox.customization import LIMITS
from signalbox.dataset import examine
from signalbox.query import normalise
from signalbox.task import Task
from tests.builders import LABELS, labels_spec

TASK = Task.model_validate(labels_spec())
LABEL = LABELS[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.yaml").write_text(json.dumps(labels_spec()))
    return tmp_path


def converted(
    folder: Path, table: str | bytes, *arguments: str, name: str = "table.csv"
) -> tuple[int, list[dict]]:
    """Convert a table; the exit code, and the records that were written."""
    source, out = folder / name, folder / "out.jsonl"
    source.write_bytes(table.encode() if isinstance(table, str) else table)
    code = main(
        [
            "data",
            "from-csv",
            str(source),
            "--task",
            str(folder),
            "--out",
            str(out),
            "--query",
            "text",
            *arguments,
        ]
    )
    return code, [json.loads(line) for line in out.read_bytes().splitlines()] if out.exists() else []


def answers(records: list[dict]) -> dict[str, str | None]:
    texts = [[message["content"][0]["text"] for message in record["messages"]] for record in records]
    return {query: said[0] if said else None for query, *said in texts}


def test_queries_and_answers_become_records_with_the_tasks_prompt(folder: Path) -> None:
    table = f'id,intent,text\n0,{LABEL},"ships, at sea"\n1,{LABEL},a bell\n'
    code, records = converted(folder, table, "--answer", "intent")
    assert code == 0
    assert answers(records) == {"ships, at sea": LABEL, "a bell": LABEL}
    assert {record["system"][0]["text"] for record in records} == {TASK.prompt}
    assert examine([(folder / "out.jsonl").read_bytes()], TASK).problems == []


def test_as_many_records_are_written_as_the_tasks_job_takes_unless_told_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customization = {"type": "FINE_TUNING", "student": "amazon.nova-micro-v1:0:128k"}
    (folder / "task.yaml").write_text(json.dumps(labels_spec(customization=customization)))
    monkeypatch.setitem(LIMITS, "FINE_TUNING", replace(LIMITS["FINE_TUNING"], most=7))
    table = "text\n" + "".join(f"ships {number}\n" for number in range(9))
    assert len(converted(folder, table)[1]) == 7
    (folder / "out.jsonl").unlink()
    assert len(converted(folder, table, "--limit", "9")[1]) == 9


def test_without_a_column_of_answers_there_are_prompts(folder: Path) -> None:
    _, records = converted(folder, "text\nships at sea\n")
    assert answers(records) == {"ships at sea": None}


def test_a_tab_separated_table_is_known_by_its_name(folder: Path) -> None:
    _, records = converted(folder, "text\tn\nships, at sea\t1\n", name="table.tsv")
    assert answers(records) == {"ships, at sea": None}


def test_an_answer_that_the_task_does_not_have_is_left_out_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, records = converted(folder, "text,intent\nships,nonsense\n", "--answer", "intent", "--json")
    assert (code, answers(records)) == (0, {"ships": None})
    said = json.loads(capsys.readouterr().out)
    assert sum(said["unlabelled"].values()) == 1


def test_a_row_that_is_cut_short_is_listed_and_the_others_are_taken(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, records = converted(folder, "n,text\n1\n2,ships\n3,\n", "--json")
    assert (code, answers(records)) == (7, {"ships": None})
    said = json.loads(capsys.readouterr().out)
    assert [(fault["line"], fault["reason"]) for fault in said["faults"]] == [(2, "the row is cut short")]
    assert said["skipped"] == {"no query": 1}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("query\nships\n", "has no column text; it has query"),
        ("", "it has none"),
        (b"text\n\xff\xfe\n", "no text in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str], table: str | bytes, said: str
) -> None:
    assert converted(folder, table) == (2, [])
    assert said in capsys.readouterr().err


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "Zs")), min_size=1, max_size=40)))
def test_whatever_the_queries_each_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, queries: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    (folder / "task.yaml").write_text(json.dumps(labels_spec()))
    with (folder / "made.csv").open("w", newline="") as content:
        csv.writer(content).writerows(
            [["n", "text"], *([number, query] for number, query in enumerate(queries))]
        )
    code, records = converted(folder, (folder / "made.csv").read_bytes())
    assert code == (0 if records else 4)
    assert {normalise(query) for query in answers(records)} == {
        normalise(query) for query in queries if query.strip()
    }


def test_a_row_with_more_cells_than_columns_is_a_fault_of_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = f"intent,text\n{LABEL},ships\n{LABEL},show me ships, please\n"
    code, records = converted(folder, table, "--answer", "intent", "--json")
    assert (code, answers(records)) == (7, {"ships": LABEL})
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["line"], fault["reason"].partition(";")[0]) == (
        3,
        "the row has more cells than the table has columns",
    )


@pytest.mark.parametrize("row", [f'{LABEL},"bells" at sea', f'{LABEL},"never closed'])
def test_a_stray_quotation_mark_swallows_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], row: str
) -> None:
    code, records = converted(
        folder, f"intent,text\n{LABEL},ships\n{row}\n{LABEL},a bell\n", "--answer", "intent"
    )
    assert (code, records) == (2, [])
    assert "is no table, near line 3" in capsys.readouterr().err
