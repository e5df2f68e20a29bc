"""`data`: check a dataset, or make one of a table or of what people really asked.

A commit may wait for `data check`, so each action loads only what it needs, and none of the other commands.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from local.settings import PORT

DONE, USAGE_ERROR, NOTHING, LEFT = 0, 2, 4, 7
"""Exit codes; `data check` says 4 of a dataset that is rejected."""

_CHECK = """\
Checks a dataset as the pipeline does when it is dropped: the same functions, and so the same verdict, findings and
warnings. Nothing is uploaded and nothing is asked. Exits 0 usable, 4 rejected, 2 the command line is wrong.
"""
_CHECK_EXAMPLES = """\
examples:
  python -m local data check examples/video-search.jsonl --task video-search
  python -m local data check my.jsonl --task my-tasks/my-task --json
"""
_FROM_LOGS = """\
Makes a dataset of Bedrock model invocation logs: one record for each different query, with the task's own prompt, and
with the model's answer where that is an answer to the task. Personal data is masked; no query is printed. A source is a
file, a folder, or an s3:// address, which is read with your own credentials for AWS, or from the app on this machine if
--port says where that is. Exits 0 done, 4 no query was found, 7 something could not be read and is listed.
"""
_FROM_LOGS_EXAMPLES = """\
examples:
  python -m local data from-logs s3://my-logs/AWSLogs --task video-search --out real.jsonl --metadata use=search
  python -m local data from-logs logs/ --task video-search --out real.jsonl --model "*nova-pro*" --since 2026-11-01
  python -m local data from-logs logs/ --task video-search --out real.jsonl --prompts-only --query-pattern 'Query: (.+)'
"""
_FROM_QUERY_LOG = """\
Makes a dataset of prompts of what the router keeps of the queries it is asked, if the parameter QueryLogShare of the
stack says so (docs/query-log.md): one record for each different query. Of the app on this machine, of a stack in AWS
with --stack, or of copies of the files. No query is printed. Exits 0 done, 4 no query was found, 7 something could not
be read and is listed.
"""
_FROM_QUERY_LOG_EXAMPLES = """\
examples:
  python -m local data from-query-log --task video-search --out asked.jsonl
  python -m local data from-query-log --task video-search --out strange.jsonl --familiarity-below 0.05 --stack signalbox
  python -m local data from-query-log copies/video-search --task video-search --out asked.jsonl --since 2026-11-01
"""


_FROM_CSV = """\
Makes a dataset of a table (CSV, or tab-separated if its name ends in .tsv) with a column of queries and, if you have
them, one of answers: labels, or weights as JSON. Its first row names the columns. One record for each different query,
with the task's own prompt; an answer that is none to the task is left out, and counted with the reason. Personal data
is masked. Exits 0 done, 4 no query was found, 7 a row could not be read.
"""
_FROM_CSV_EXAMPLES = """\
examples:
  python -m local data from-csv labelled.csv --task ticket-topics --query text --answer topic --out labelled.jsonl
  python -m local data from-csv searches.tsv --task product-search --query query --out searches.jsonl
"""


class CannotUse(Exception):
    """The command line names what is not there or cannot be used; the message says what."""


def add(commands: Any) -> None:
    """Add the command and its actions to the command line."""
    data = commands.add_parser(
        "data", help="check a dataset, or make one of a table or of real traffic; `data ACTION --help`"
    )
    actions = data.add_subparsers(dest="action", metavar="action", required=True)
    _add_check(_action(actions, "check", "check a dataset before it is uploaded", _CHECK, _CHECK_EXAMPLES))
    _add_from_logs(
        _action(actions, "from-logs", "make a dataset of invocation logs", _FROM_LOGS, _FROM_LOGS_EXAMPLES)
    )
    _add_from_csv(_action(actions, "from-csv", "make a dataset of a table", _FROM_CSV, _FROM_CSV_EXAMPLES))
    _add_from_query_log(
        _action(
            actions,
            "from-query-log",
            "make a dataset of the router's own queries",
            _FROM_QUERY_LOG,
            _FROM_QUERY_LOG_EXAMPLES,
        )
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command alone, without loading the others."""
    parser = argparse.ArgumentParser(prog="python -m local")
    add(parser.add_subparsers(metavar="command", required=True))
    options = parser.parse_args(arguments)
    return options.run(options)


def _action(actions: Any, name: str, help: str, description: str, examples: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=help,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_running("local.data." + name.replace("-", "_")))
    parser.add_argument(
        "--task",
        required=True,
        metavar="T",
        help="a folder with a task.yaml, or the name of one under tasks/",
    )
    return parser


def _running(module: str) -> Callable[[argparse.Namespace], int]:
    """Return what loads an action's module and runs it, and says what of the command line is wrong."""

    def run(options: argparse.Namespace) -> int:
        try:
            return import_module(module).run(options)
        except CannotUse as error:
            print(f"signalbox: {error}", file=sys.stderr)
            return USAGE_ERROR

    return run


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="dataset, one record a line")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file instead of text")


def _add_from_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="a file, a folder or an s3:// address")
    _add_out(parser)
    parser.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only calls with this request metadata; more than one: with all of them",
    )
    parser.add_argument(
        "--model", metavar="ID", help="only calls of this model or inference profile; * stands for anything"
    )
    parser.add_argument("--prompts-only", action="store_true", help="leave out what the models answered")
    _add_span(parser)
    parser.add_argument(
        "--query-pattern",
        metavar="REGEX",
        help="where the query stands in the prompt: the first group of this regular expression",
    )
    place = parser.add_argument_group("where s3:// addresses are")
    place.add_argument(
        "--port", type=int, help=f"the app on this machine ({PORT} if you did not choose another)"
    )
    _add_account(place)


def _add_from_csv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="TABLE", help="a file in UTF-8")
    parser.add_argument("--query", required=True, metavar="COLUMN", help="where the queries stand")
    parser.add_argument("--answer", metavar="COLUMN", help="where the answers stand (default: no answers)")
    _add_out(parser)


def _add_from_query_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="files, folders or s3:// addresses to read instead of the app's own bucket",
    )
    _add_out(parser)
    parser.add_argument(
        "--familiarity-below",
        type=float,
        metavar="X",
        help="only queries that the embedded student knew less well than this (0 to 1): what it has yet to learn",
    )
    _add_span(parser)
    place = parser.add_argument_group("whose queries")
    place.add_argument(
        "--port", type=int, default=PORT, help="the app on this machine (default: %(default)s)"
    )
    place.add_argument("--stack", metavar="NAME", help="a stack in AWS, with your own credentials")
    _add_account(place)


def _add_account(place: Any) -> None:
    place.add_argument("--region", help="region in AWS (default: that of the profile)")
    place.add_argument("--profile", help="profile of the AWS CLI")


def _add_span(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="only from this date or moment on, in UTC")
    parser.add_argument("--until", metavar="TIME", help="only before this moment, or up to this date")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="the dataset; it must not be there yet"
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="most records, the same share of rare and frequent queries (default: as many as the task's job takes)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
