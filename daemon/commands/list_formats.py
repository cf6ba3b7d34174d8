"""Parses lists of jobs: ids one per line, CSV with a heading, JSON lines. Pure.

Owns the detection of the format and the names of places in it. A list with a fault is rejected as a whole.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from daemon.commands.entries import KEYS, JobEntry, RequestFaults, read_job
from daemon.domain.jobs import ProjectName, parse_job_id

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DELIMITERS = ",;\t"
_TAGS = re.compile(r"[,;\uff0c\uff1b]")
_BYTES = re.compile("[\udc80-\udcff]")
_HEADING = f"name the columns in the first line: {','.join(KEYS)} (only job_id is needed)"
_NOT_UTF8 = "it is not UTF-8; save the list as UTF-8 (in Excel: CSV UTF-8)"

_Row = tuple[str, Mapping[str, object]]
"""A row's name for messages, and its values."""


def read_list(
    data: bytes, projects: Sequence[ProjectName], faults: RequestFaults, *, default: ProjectName | None = None
) -> list[JobEntry]:
    """The jobs of a list; `default` is the project of those without one. All faults are added to `faults`."""
    text = _decoded(data)
    first = next((line.strip() for line in text.splitlines() if _says(line)), "")
    if first.startswith(("{", "[")):
        rows = _json_rows(text, faults)
    elif any(mark in first for mark in _DELIMITERS) or _column(first.strip('"')) == "job_id":
        rows = _csv_rows(text, first, faults)
    else:
        rows = _ids(text, faults)
    found = []
    for row, said in rows:
        job = read_job(said, projects, faults, place=partial("{}, {}".format, row), default=default)
        if job is not None:
            found.append(job)
    return found


def _decoded(data: bytes) -> str:
    """The text. Undecodable bytes are kept as lone surrogates, so that their row can be reported."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace").lstrip("\ufeff")
    return data.decode("utf-8", "surrogateescape")


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _ids(text: str, faults: RequestFaults) -> Iterator[_Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if not _says(line):
            continue
        job_id = _BYTES.sub("\ufffd", line.strip())
        if faults.of(f"line {number}", partial(parse_job_id, job_id)) is not None:
            yield f"line {number}", {"job_id": job_id}


def _csv_rows(text: str, first: str, faults: RequestFaults) -> Iterator[_Row]:
    delimiter = max(_DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    columns: list[str] | None = None
    begin = 1
    try:
        for cells in lines:
            row, begin = f"line {begin}", lines.line_num + 1
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if any(_BYTES.search(cell) for cell in cells):
                faults.add(row, _NOT_UTF8)
            elif columns is None:
                columns = _columns(cells, row, faults)
                if columns is None:
                    return
            elif any(cell.strip() for cell in cells[len(columns) :]):
                faults.add(row, f"it has more than {len(columns)} cells; put values with {delimiter!r} in quotes")
            else:
                said = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}
                yield row, {name: _tags(value) if name == "tags" else value for name, value in said.items()}
    except csv.Error as error:
        faults.add(f"line {lines.line_num}", f"it is not CSV: {error}; are all quotes in pairs?")


def _columns(cells: Sequence[str], row: str, faults: RequestFaults) -> list[str] | None:
    """The column names; None if the row is not a valid heading."""
    names = [_column(cell) for cell in cells]
    if "job_id" not in names:
        faults.add(row, f"no column is called job_id; {_HEADING}")
        return None
    wrong = [name for name in names if name and (name not in KEYS or names.count(name) > 1)]
    if wrong:
        faults.add(row, f"the column {wrong[0]!r} is unknown or duplicated; {_HEADING}")
        return None
    return names


def _column(cell: str) -> str:
    return re.sub(r"[\s-]+", "_", cell.strip().lower())


def _tags(cell: str) -> list[str]:
    return [part for part in _TAGS.split(cell) if part.strip()]


def _json_rows(text: str, faults: RequestFaults) -> Iterator[_Row]:
    lines = [(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if _says(line)]
    values = None if _is_json(lines[0][1]) else _whole(text)
    if values is None and lines[0][1].lstrip().startswith("["):
        values = _whole(text)
    if values is not None:
        rows: Iterator[tuple[str, object]] = ((f"job {number}", value) for number, value in enumerate(values, 1))
    else:
        rows = ((row, value) for row, line in lines if (value := _parsed(row, line, faults)) is not _NOTHING)
    for row, value in rows:
        if isinstance(value, dict):
            yield row, value
        else:
            faults.add(row, 'it is not an object; write each job as {"job_id": "…"}')


_NOTHING = object()


def _parsed(row: str, line: str, faults: RequestFaults) -> object:
    if _BYTES.search(line):
        faults.add(row, _NOT_UTF8)
        return _NOTHING
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        faults.add(row, 'it is not JSON; write one object per line, such as {"job_id": "…"}')
        return _NOTHING
    return value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _whole(text: str) -> list[object] | None:
    """The jobs of one JSON document, a list or an object with a list `jobs`; None if it is neither."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        value = value["jobs"] if isinstance(value.get("jobs"), list) and len(value) == 1 else [value]
    return value if isinstance(value, list) else None
