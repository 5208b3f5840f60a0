"""Rows as CSV, JSONL and Parquet, whatever they mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from measurements.json_lines import read_json_lines
from measurements.tables import read_csv

SUFFIXES = (".csv", ".jsonl", ".parquet")

_MOST_BYTES = 1 << 28
"""Of a table in memory: a few bytes of a Parquet file may stand for a great many."""

_AT_ONCE = 64


def rows_of(content: bytes, suffix: str, known: Collection[str] | None = None) -> Iterator[object]:
    """The rows of a file, read one by one; an error stands for one that is broken.

    Args:
        content: Of the file.
        suffix: One of :data:`SUFFIXES`.
        known: Names that the columns of a CSV file may have; any when left out.

    Raises:
        TableError: It is not of that format.
        ValueError: The same of Parquet, or what reads it is not installed.
    """
    if suffix == ".csv":
        return read_csv(content, known).rows
    return read_json_lines(content) if suffix == ".jsonl" else _from_parquet(content)


def table_of(rows: Sequence[Mapping[str, Any]], suffix: str) -> bytes:
    """A file of rows with a column for each field that any of them has.

    Raises:
        ValueError: What writes it is not installed.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return (_to_csv if suffix == ".csv" else _to_parquet)(rows, columns)


def _to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _from_parquet(content: bytes) -> Iterator[object]:
    pyarrow, parquet = _pyarrow()
    left = _MOST_BYTES
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        _check_size(left - sum(group.total_byte_size for group in groups))
        for batch in file.iter_batches(batch_size=_AT_ONCE):
            left -= batch.nbytes
            _check_size(left)
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not Parquet: {str(error).splitlines()[0]}") from None


def _check_size(left: int) -> None:
    if left < 0:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB of rows")


def _to_parquet(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    pyarrow, parquet = _pyarrow()
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
    content = io.BytesIO()
    parquet.write_table(table, content)
    return content.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("Parquet needs pyarrow: pip install 'speechplan[parquet]'") from None
    return pyarrow, pyarrow.parquet
