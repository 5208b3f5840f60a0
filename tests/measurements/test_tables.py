"""Tables: what was written is read, or it is said where it can't be."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.cells import MOST_CHARACTERS, Row, TableError, checked, number_of
from measurements.json_lines import json_value, read_json_lines
from measurements.tables import SEPARATORS, read_csv

TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0")
    | st.sampled_from(",;\t\"'\n\r\u2028\u2029\x85\x0b\x0c\x1c \ufeff"),
    max_size=12,
)
NAMES = st.lists(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), min_size=2, max_size=4, unique=True)


def cells(content, known=None):
    """The rows of a table, as dictionaries."""
    return [row.cells for row in checked(read_csv(content, known).rows)]


def fault(content, known=None):
    """Where a table is wrong, and what is said."""
    with pytest.raises(TableError) as caught:
        cells(content, known)
    return caught.value.line, caught.value.column


@given(
    columns=NAMES,
    data=st.data(),
    separator=st.sampled_from(list(SEPARATORS)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_what_was_written_is_read(columns, data, separator, end, quoting, encoding):
    """Catches a character of a cell that ends a line, a cell or a table."""
    row = st.lists(TEXT, min_size=len(columns), max_size=len(columns))
    rows = data.draw(st.lists(row, max_size=4))
    if any(set("\r\n") & set(cell) for row in rows for cell in row):
        # Python before 3.13 leaves those unquoted that are not in its own line ends.
        quoting = csv.QUOTE_ALL
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(columns)
    writer.writerows(rows)
    table = read_csv(text.getvalue().encode(encoding))
    assert table.separator == separator
    assert [list(row.cells.values()) for row in checked(table.rows)] == rows


@given(st.binary(max_size=60), st.binary(max_size=40))
def test_any_bytes_are_a_table_or_said_to_be_none(header, rest):
    """Catches a crash, and a row that is given other cells than its header has."""
    for content in (header + b"\n" + rest, b"a,b\n" + rest):
        try:
            table = read_csv(content)
        except TableError:
            continue
        for row in table.rows:
            assert isinstance(row, TableError) or set(row.cells) == set(table.columns)


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda b: b.decode("latin-1")))
def test_any_lines_are_objects_or_said_to_be_none(text):
    """Catches a crash of what reads JSON."""
    for row in read_json_lines(text.encode("utf-8", "ignore")):
        assert isinstance(row, Row | TableError)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", (None, None)),
        (b"\n\r\n", (None, None)),
        (b"a,\n1,2\n", (1, None)),
        (b"a,a\n1,2\n", (1, "a")),
        (b"a, b\n1,2\n", (1, "' b'")),
        (b"a;b,c\n", (1, None)),
        (b'"a,b\n1,2\n', (1, "column 1")),
        (b"a,b\n1,2,3\n", (2, "b")),
        (b"a,b\n\n1\n", (3, "b")),
        (b'a,b\n1,"x\n2,y\n', (2, "b")),
        (b'a,b\n"1"2,x\n', (2, "a")),
        (b'a,b\n1,"he said \\"no\\""\n', (2, "b")),
        (b'a,b\n1,"two\nlines"\n2,"x" y,z\n', (4, "b")),
        (b"a,b\n1,\0\n", (2, "b")),
        (b"a,b\n1,x\r2,y\n", (2, "b")),
        (b"a,b\r1,x\n2,y\r", (2, "b")),
        ("a,b\n1,é\n".encode("latin-1"), (2, None)),
        ("a,b\n1,2\n".encode("utf-16-le"), (1, "column 1")),
        ("a,b\n1,2\n".encode("utf-16")[:-1], (2, None)),
        (f"a,b\n1,{'x' * (MOST_CHARACTERS + 1)}\n".encode(), (2, "b")),
    ],
)
def test_what_is_wrong_is_placed(content, place):
    assert fault(content) == place


def test_blank_lines_are_none_and_a_long_cell_is_one():
    long = "x" * MOST_CHARACTERS
    assert cells(f"\n\na,b\n\n1,{long}\n   \n".encode()) == [{"a": "1", "b": long}]
    assert cells(b'a\n""\n\n') == [{"a": ""}]


def test_lines_are_counted_as_an_editor_does():
    rows = list(read_csv(b'\nsep,b\r\n1,"x\r\ny"\r\n\r\n2,z').rows)
    assert [row.line for row in rows] == [3, 6]
    assert cells(b"a,b\r\n1,2\n3,4\r\n") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    rows = list(read_csv(b'sep=;\na;b\n1;"x,y"\n').rows)
    assert [(row.line, row.cells["b"]) for row in rows] == [(3, "x,y")]


def test_rows_that_are_wrong_stand_among_those_that_are_not():
    """What takes in rows names all of them at once."""
    rows = list(read_csv(b"a,b\n1,2\n3\n4,5\n").rows)
    assert [isinstance(row, TableError) for row in rows] == [False, True, False]


def test_known_columns_choose_the_separator_and_name_the_unknown():
    assert cells(b"a;b,c\n1;2\n", ["a", "b,c"]) == [{"a": "1", "b,c": "2"}]
    assert read_csv(b"a\n1;2\n").separator == ","
    with pytest.raises(TableError, match="did you mean 'weight'"):
        read_csv(b"duration_s, weight\n", ["duration_s", "weight"])


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b'{"a": 1}\n{"a": 1, "a": 2}', 2, "a"),
        (b'{"a": {"b": 1, "b": 2}}', 1, "b"),
        (b"\n[1]", 2, None),
        (b'{"a": 1}\n[1]', 2, None),
        (b'{"a": NaN}', 1, None),
        (b'{"a": -Infinity}', 1, None),
        (b'{"a": 1', 1, None),
        (b'[{"a": 1},\n{"a" 2}]', 2, None),
        (b'[{"a": 1} {"a": 2}]', 1, None),
        (b'[{"a": 1}', 1, None),
        (b'[{"a": 1},]', 1, None),
        (b'[{"a": 1}] 2', None, None),
        (b'{"a": "\\u0000"}', 1, "a"),
        (b'{"a": ["\\ud800"]}', 1, "a"),
        (b'{"a": ' + b"9" * 5000 + b"}", 1, None),
        (b"{" + b'"a":[' * 50_000, 1, None),
        (b'{"a": "\xe9"}', 1, None),
    ],
)
def test_lines_that_are_no_objects_are_placed(content, line, column):
    with pytest.raises(TableError) as caught:
        list(checked(read_json_lines(content)))
    assert (caught.value.line, caught.value.column) == (line, column)


@given(
    rows=st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.booleans()), max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    escaped=st.booleans(),
)
def test_objects_come_back_as_lines_and_as_a_list(rows, end, encoding, escaped):
    """Catches U+2028 in a string that ends its line."""
    lines = [json.dumps(row, ensure_ascii=escaped) for row in rows]
    for text in (end.join(lines), f"[{f',{end}'.join(lines)}]", json.dumps(rows, indent=1)):
        assert [row.cells for row in checked(read_json_lines(text.encode(encoding)))] == rows


def test_items_of_a_list_have_their_lines():
    content = json.dumps([{"a": 1}, {"a": 2}], indent=1).encode()
    assert [row.line for row in read_json_lines(content)] == [2, 5]


def test_one_value_is_read_as_strictly():
    assert json_value('{"a": [1]}') == {"a": [1]}
    with pytest.raises(TableError, match="twice"):
        json_value('{"a": 1, "a": 2}')


@pytest.mark.parametrize(
    ("text", "number"), [(" 3.5 ", 3.5), ("1e7", 1e7), (".5", 0.5), ("-3", -3)]
)
def test_numbers(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text", ["", " ", "3,5", "1_000", "nan", "inf", "1e999", "٣", "0x1", "3 s"]
)
def test_what_python_takes_for_a_number_may_be_none(text):
    """float() reads 1_000 and digits of other scripts; a decimal comma is asked about."""
    with pytest.raises(ValueError, match=r"3\.5 meant" if text == "3,5" else None):
        number_of(text)
