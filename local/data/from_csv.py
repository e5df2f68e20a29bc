"""`data from-csv`: a dataset out of a table that a team has already: a column of queries, and one of their answers."""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from local.data.command import CannotUse
from local.data.log_files import Fault
from local.data.reading import Reading, conclude, sample_for
from local.data.task_folder import task_at

_LONGEST_CELL = 1 << 20
"""Characters; Python's own limit is 131,072, which a column that nobody asked for may exceed."""
_TOO_MANY = (
    "the row has more cells than the table has columns; a cell with a comma in it stands in quotation marks"
)


def run(options: argparse.Namespace) -> int:
    """Read the table, write the dataset, and print what became of the rows."""
    _, task = task_at(options.task)
    reading, sample = Reading(files=1), sample_for(options, task)
    for query, answer in _rows(options.source, options.query, options.answer, reading):
        sample.add(query, answer)
    return conclude(options, task, reading, sample)


def _rows(file: Path, query: str, answer: str | None, reading: Reading) -> Iterator[tuple[str, str | None]]:
    """Return query and answer of each row; one without a query is skipped, one with too few or many cells is a fault.

    Raises
    ------
    CannotUse
        There is no such file, it is no text in UTF-8, or its first row names no such column.
    """
    csv.field_size_limit(_LONGEST_CELL)
    dialect = "excel-tab" if file.suffix.lower() == ".tsv" else "excel"
    try:
        with file.open(encoding="utf-8-sig", newline="") as content:
            table = csv.DictReader(content, dialect=dialect, strict=True)
            wanted = [query, *([answer] if answer else [])]
            if missing := [name for name in wanted if name not in (table.fieldnames or ())]:
                columns = ", ".join(table.fieldnames or ()) or "none"
                raise CannotUse(f"{file} has no column {' or '.join(missing)}; it has {columns}")
            for row in table:
                reading.entries += 1
                if any(row[name] is None for name in wanted):
                    reading.note(Fault(str(file), table.line_num, "the row is cut short"))
                elif None in row:  # where DictReader puts what has no column
                    reading.note(Fault(str(file), table.line_num, _TOO_MANY))
                elif not row[query].strip():
                    reading.skipped["no query"] += 1
                else:
                    yield row[query], (row[answer].strip() or None) if answer else None
    except OSError as error:
        raise CannotUse(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CannotUse(f"{file} is no text in UTF-8: {error}") from error
    except csv.Error as error:
        raise CannotUse(f"{file} is no table, near line {reading.entries + 2}: {error}") from error
