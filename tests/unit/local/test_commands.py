"""What the commands follow and print."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from botocore.exceptions import ConnectionClosedError

from local import render, requests
from local.client import App, NotReachable
from local.commands import drop, main, parser
from local.commands.options import EXIT_CODES, UsageError
from local.progress import follow, job_phase, waits
from signalbox.dataset_object import DatasetObject
from signalbox.events import Asked
from signalbox.measures import ABSENT
from signalbox.release import Awaited, Expense
from signalbox.run import Moment, Run, State
from signalbox.spec import TaskError

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
METRICS = {
    "run_id": "video-search-0123456789ab",
    "output": "weights",
    "golden": 120,
    "candidates": {
        "embedded": {"model": "embedded student", "valid_share": 1.0, "mae": 0.0183, "judge": None},
        "bedrock": {
            "model": "local.student",
            "valid_share": 0.883,
            "mae": 0.0354,
            "judge": {"mean": 4.31},
            "latency_ms": {"mean": 20.0, "p50": 25.1, "p95": 63.4},
            "tokens": {"input": 5080, "output": 7233},
        },
        "base": {},
    },
    "gates": [{"name": "mae", "passed": False, "reason": "0.1, at most 0.06 is required"}],
    "verdict": "HELD",
}


def run_in(*states: State, **attributes: object) -> Run:
    history = [
        Moment(state=state, at=START + timedelta(seconds=n), note=f"note {n}")
        for n, state in enumerate(states)
    ]
    return Run(
        id="video-search-0123456789ab",
        task="video-search",
        state=states[-1],
        created_at=START,
        updated_at=history[-1].at,
        dataset=DatasetObject(bucket="b", key="datasets/video-search/x.jsonl"),
        history=history,
        **attributes,
    )


def printed(what: object) -> str:
    stream = StringIO()
    render.console(stream).print(what)
    return stream.getvalue()


def test_following_tells_each_transition_once_and_stops_at_the_end():
    seen = iter(
        [
            None,
            run_in(State.RECEIVED),
            run_in(State.RECEIVED),
            run_in(State.RECEIVED, State.ACCEPTED, waiting="quota"),
            run_in(State.RECEIVED, State.ACCEPTED, waiting="quota"),
            run_in(State.RECEIVED, State.ACCEPTED, State.TRAINED, State.FAILED),
        ]
    )
    app = SimpleNamespace(runs=SimpleNamespace(load=lambda run_id: next(seen)))

    updates = list(follow(app, "video-search-0123456789ab", pause=lambda seconds: None))

    assert [(update.kind, update.state) for update in updates] == [
        ("state", State.RECEIVED),
        ("state", State.ACCEPTED),
        ("waiting", State.ACCEPTED),
        ("state", State.TRAINED),
        ("state", State.FAILED),
    ]
    assert updates[2].text == "quota"
    assert updates[-1].run.state == State.FAILED


def test_a_job_s_phase_is_put_into_words():
    job = {
        "status": "InProgress",
        "statusDetails": {
            "validationDetails": {"status": "Completed"},
            "trainingDetails": {"status": "InProgress"},
        },
        "trainingMetrics": {"trainingLoss": 0.25},
    }

    assert job_phase(job) == "customization job InProgress, training, loss 0.2500"


def test_the_comparison_has_a_column_for_each_candidate_and_a_dash_for_what_is_not_known():
    rows = {line.split("  ")[0].strip(): line for line in printed(render.comparison(METRICS)).splitlines()}

    assert rows["model"].split()[1:] == ["embedded", "student", "local.student"]
    *errors, absent = rows["mean absolute error"].split()[-3:]
    assert [float(error) for error in errors] == pytest.approx([0.0183, 0.0354], abs=5e-4)
    assert absent == ABSENT
    assert rows["usable answers"].split()[-3:] == ["100%", "88.3%", ABSENT]
    assert rows["judge"].split()[-3:] == [ABSENT, "4.31", ABSENT]
    assert rows["output tokens"].split()[-3:] == [ABSENT, "7,233", ABSENT]


def test_the_comparison_fits_a_terminal_of_80_columns():
    console = render.console(StringIO())
    console.width = 80
    console.print(render.comparison(METRICS))

    assert max(map(len, console.file.getvalue().splitlines())) <= 80


def test_a_labels_task_is_compared_by_its_own_measures():
    metrics = {**METRICS, "output": "labels", "candidates": {"embedded": {"accuracy": 0.97, "macro_f1": 0.9}}}

    shown = printed(render.comparison(metrics))

    assert "accuracy" in shown
    assert "mean absolute error" not in shown


def test_gates_say_what_failed_and_why():
    shown = printed(render.gates(METRICS))

    assert "HELD" in shown
    assert "failed" in shown
    assert "at most 0.06 is required" in shown


def test_a_rejection_lists_line_field_and_reason():
    findings = {
        "reasons": ["3 of 4 lines cannot be used"],
        "problems": [{"line": 2, "field": "messages[1]", "reason": "weights sum to 1.2"}],
        "counts": {"invalid": 60},
    }

    shown = "\n".join(printed(line) for line in render.rejection(findings))

    assert "3 of 4 lines cannot be used" in shown
    assert "line 2, messages[1]: weights sum to 1.2" in shown
    assert "10 more" in shown


def test_what_is_odd_about_a_dataset_is_printed_harmlessly():
    shown = [
        printed(line).strip() for line in render.warnings({"warnings": ["labels that never lead: [red]"]})
    ]

    assert shown == ["to look at in the dataset: labels that never lead: [red]"]
    assert list(render.warnings({})) == []


def test_an_answer_shows_weights_who_answered_and_how_fast():
    answer = {
        "weights": {"visual": 0.25, "audio": 0.75},
        "source": "bedrock",
        "model": "m",
        "latency_ms": 4.05,
    }

    shown = printed(render.answer(answer))

    assert "visual 0.2500  audio 0.7500" in shown
    assert "bedrock m, 4.0 ms" in shown or "bedrock m, 4.1 ms" in shown


def test_every_end_of_a_run_has_its_exit_code():
    assert {state.value: code for state, code in EXIT_CODES.items()} == {
        "PROMOTED": 0,
        "HELD": 3,
        "REJECTED": 4,
        "FAILED": 5,
    }


@pytest.mark.parametrize(
    "line",
    [
        ["up", "--port", "1", "--api-port", "2", "--state", "x", "--reset", "--json"],
        ["drop", "f", "--task", "t", "--wait", "--json", "--port", "1", "--api-port", "2"],
        ["route", "q", "--task", "t", "--json", "--port", "1", "--api-port", "2"],
        ["status", "--json", "--port", "1", "--api-port", "2"],
        ["status", "run", "--json", "--port", "1", "--api-port", "2"],
        ["task", "push", "folder", "--json", "--port", "1", "--api-port", "2"],
        ["run", "--json", "--port", "1", "--api-port", "2"],
    ],
)
def test_every_command_takes_json_and_ports(line):
    assert parser().parse_args(line).json


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_a_wrong_port_is_a_usage_error(port, capsys):
    with pytest.raises(SystemExit) as wrong:
        parser().parse_args(["status", "--port", port])

    assert wrong.value.code == 2
    assert "is not a port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "document"),
    [
        (UsageError("there is no run"), 2, {"error": "there is no run"}),
        (NotReachable("no app answers"), 1, {"error": "no app answers"}),
        (
            TaskError("task.yaml", ["line 3"]),
            2,
            {"error": "task.yaml cannot be used:", "problems": ["line 3"]},
        ),
        (ConnectionClosedError(endpoint_url="http://a.test"), 1, None),
    ],
)
def test_an_error_is_json_where_json_was_asked_for(monkeypatch, capsys, error, code, document):
    def fail(options):
        raise error

    monkeypatch.setattr(drop, "app_of", fail)
    arguments = ["drop", __file__]

    assert main(arguments) == code
    assert capsys.readouterr().out == ""
    assert main([*arguments, "--json"]) == code
    said = capsys.readouterr()
    assert document is None or json.loads(said.out) == document
    assert "error" in json.loads(said.out)
    assert said.err.startswith("signalbox: ")


def test_an_app_that_goes_away_while_a_run_is_followed_is_an_error_that_names_the_run(monkeypatch, capsys):
    dataset = DatasetObject(bucket="b", key="datasets/video-search/x.jsonl")

    def gone(*_):
        raise ConnectionClosedError(endpoint_url="http://a.test")

    there = App("http://127.0.0.1:4999", "http://127.0.0.1:3000", "b", "t", "e")
    monkeypatch.setattr(drop, "app_of", lambda options: there)
    monkeypatch.setattr(drop, "upload", lambda *_: (dataset, "video-search-0123456789ab"))
    monkeypatch.setattr(drop, "wait", gone)

    assert main(["drop", __file__, "--wait", "--port", "4999", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "the app has gone away while video-search-0123456789ab was under way" in error
    assert error.endswith("python -m local status video-search-0123456789ab --port 4999")


class Answers:
    """An app whose run table has an answer to each request after a while, and that keeps what was asked."""

    bus = "signalbox"

    def __init__(self, **answer: object) -> None:
        self.entries: list[dict[str, str]] = []
        self.looked, self.answer = 0, answer
        self.runs = SimpleNamespace(item=self._item, load=lambda run_id: self._run(run_id))

    def client(self, service: str) -> SimpleNamespace:
        assert service == "events"
        return SimpleNamespace(put_events=self._put)

    def _put(self, Entries: list[dict[str, str]]) -> dict[str, object]:  # noqa: N803
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "request-1"}]}

    def _item(self, key: str) -> dict[str, object] | None:
        assert key == "REQUEST#request-1"
        self.looked += 1
        said = {
            "request_id": "request-1",
            "asked": "PromotionRequested",
            "subject": "r",
            "by": "",
            "reason": "x",
        }
        return said | {"at": START.isoformat()} | self.answer if self.looked > 2 else None

    def _run(self, run_id: str) -> SimpleNamespace | None:
        owes = "ModelPromoted" if self.looked < 5 else None
        return SimpleNamespace(outbox=owes) if run_id else None


def test_a_request_is_the_event_that_the_aws_cli_would_send() -> None:
    app = Answers()
    assert requests.ask(app, Asked.PROMOTION, run_id="r", reason="Größe", by="ada") == "request-1"
    assert app.entries == [
        {
            "EventBusName": "signalbox",
            "Source": "signalbox.operator",
            "DetailType": "PromotionRequested",
            "Detail": '{"run_id": "r", "reason": "Größe", "by": "ada"}',
        }
    ]


@pytest.mark.parametrize(("answer", "looks"), [({"said": "no"}, 3), ({"run_id": "r"}, 5)])
def test_a_request_is_followed_until_all_that_comes_of_it_is_published(
    answer: dict[str, str], looks: int
) -> None:
    app, pauses = Answers(**answer), []
    assert requests.outcome(app, "request-1", pauses.append).said == answer.get("said", "")
    assert (app.looked, len(pauses)) == (looks, looks - 1)


def test_a_request_that_nobody_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(requests.NotAnswered, match="request-1 has no answer"):
        requests.outcome(Answers(), "request-1")


@pytest.mark.parametrize("command", ["promote r", "rollback t"])
@pytest.mark.parametrize("reason", [[], ["--reason", " "], ["--reason", "x" * 1001]])
def test_a_request_needs_a_reason(
    command: str, reason: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([*command.split(), *reason])
    assert "--reason" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "asked"),
    [("release r --by ada", "ReleaseRequested"), ("release r --by ada --end --reason dear", "EndRequested")],
)
def test_a_release_is_asked_for_and_so_is_the_end_instead(
    line: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Answers()
    monkeypatch.setattr("local.commands.request.app_of", lambda options: app)
    options = parser().parse_args([*line.split(), "--no-wait", "--json"])
    assert options.run(options) == 0
    assert app.entries[0]["DetailType"] == asked
    assert json.loads(app.entries[0]["Detail"])["run_id"] == "r"


def test_a_run_is_not_ended_without_a_reason() -> None:
    options = parser().parse_args(["release", "r", "--end"])
    with pytest.raises(UsageError, match="--end needs --reason"):
        options.run(options)


@pytest.mark.parametrize("line", [["promote", "x" * 3000], ["promote", "a\nb"], ["rollback", "t" * 3000]])
def test_a_request_names_what_can_be_a_name(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*line, "--reason", "x"])
    assert ended.value.code == 2
    assert "this is not the" in capsys.readouterr().err


def test_a_rollback_names_the_run_that_is_live_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Answers()
    app.runs.live = lambda task: SimpleNamespace(run_id=f"{task}-0123456789ab")
    monkeypatch.setattr("local.commands.rollback.app_of", lambda options: app)
    monkeypatch.setattr("local.commands.request.app_of", lambda options: app)
    options = parser().parse_args(["rollback", "t", "--reason", "x", "--by", "ada", "--no-wait", "--json"])
    assert options.run(options) == 0
    assert json.loads(app.entries[0]["Detail"])["run_id"] == "t-0123456789ab"


AWAITED = Awaited(of=Expense.LABELLING, reason="150 answers may cost 3 USD", since=START)


def held_run(*states: State) -> Run:
    """Return a run that awaits a release, as the run table has it."""
    return run_in(*states, awaits=AWAITED, waiting=f"for a person's release: {AWAITED.reason}")


@pytest.mark.parametrize(
    ("ports", "options"), [((4566, 3000), ""), ((4686, 3186), " --port 4686 --api-port 3186")]
)
def test_what_releases_or_ends_a_run_is_said_as_two_whole_commands(ports, options):
    port, api_port = ports
    seen = iter([held_run(State.RECEIVED), run_in(State.RECEIVED, State.FAILED)])
    there = App(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}", "b", "t", "e")
    vars(there)["runs"] = SimpleNamespace(load=lambda run_id: next(seen))

    (said,) = [update.text for update in follow(there, "r", pause=lambda _: None) if update.kind == "waiting"]

    commands = [text.split(" (")[0] for text in said.split("python -m local ")[1:]]
    parsed = [parser().parse_args(shlex.split(command)) for command in commands]
    assert [(each.end, each.reason, each.port, each.api_port) for each in parsed] == [
        (False, None, port, api_port),
        (True, "WHY", port, api_port),
    ]
    assert commands[0].endswith(options)


def test_what_a_run_waits_for_is_a_sentence():
    assert waits(held_run(State.ACCEPTED)) == "waits for a person's release: 150 answers may cost 3 USD"
    assert waits(run_in(State.ACCEPTED, waiting="a quota")) == "waiting: a quota"
    assert waits(run_in(State.ACCEPTED)) == ""


def test_the_help_of_release_names_all_that_may_have_to_be_released():
    (actions,) = (one for one in parser()._actions if one.choices and "release" in one.choices)
    said = " ".join(actions.choices["release"].format_help().split())
    for what in ("labels", "customization job", "provisioned throughput"):
        assert what in said
