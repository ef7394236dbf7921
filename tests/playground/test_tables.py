"""Files from strangers become a table of finite numbers, or a sentence: checked by hand and against Python's csv module."""

import csv
import io
import json
import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from playground import tables, uploads
from playground.tables import Refused, Table, table

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(text: str | bytes, **options) -> Table:
    return table(text if isinstance(text, bytes) else text.encode(), **options)


def said(found: Table) -> str:
    return " ".join(found.notices)


def assert_reads(text, names, rows, **facts) -> Table:
    found = read(text)
    assert found.names == tuple(names)
    assert found.columns.dtype == np.float64
    np.testing.assert_array_equal(found.columns, np.array(rows, dtype=float).reshape(-1, len(names)))
    expected = {"rows_in_file": len(rows), "dropped": 0, "infinite": 0, "sampled": False, "left_out": ()} | facts
    assert {key: getattr(found, key) for key in expected} == expected
    for notice in found.notices:
        assert notice[0].isupper() or notice[0].isdigit()
        assert notice.endswith(".")
    return found


HEADER_AND_ROWS = [["height", "mass"], ["1.5", "-2"], ["3", "4.25e1"], [".5", "+6."]]
VALUES = [[1.5, -2], [3, 42.5], [0.5, 6]]


@pytest.mark.parametrize(
    ("delimiter", "called"),
    [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"), (" ", "spaces"), ("    ", "spaces")],
)
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_and_header_are_found(delimiter, called, header, end):
    text = end.join(delimiter.join(row) for row in HEADER_AND_ROWS[0 if header else 1 :])
    found = assert_reads(text, ["height", "mass"] if header else ["x", "y"], VALUES)
    assert f"separated by {called}" in said(found)
    assert ("with a header" in said(found)) == header


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ("1\n2\n3\n", ["x1"], [[1], [2], [3]]),
        ("v\n1\n2.5\n", ["v"], [[1], [2.5]]),
        ("weight, kg\n1\n2\n", ["weight, kg"], [[1], [2]]),
        ("my value\n1\n2\n", ["my value"], [[1], [2]]),
        ("5", ["x1"], [[5]]),
        ("1,2,3\n4,5,6", ["x1", "x2", "x3"], [[1, 2, 3], [4, 5, 6]]),
        ("1990,1991\n5,6\n", ["x", "y"], [[1990, 1991], [5, 6]]),
        ("x,y,2020\n5,6,7\n", ["x", "y", "2020"], [[5, 6, 7]]),
    ],
)
def test_one_column_and_no_header_are_fine(text, names, rows):
    assert_reads(text, names, rows)


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ("1,5;2,3\n-4;,5\n", ["x", "y"], [[1.5, 2.3], [-4, 0.5]]),
        ("a;b\n1,234;5\n", ["a", "b"], [[1.234, 5]]),
        ("1,5\t2\n3,25\t4\n", ["x", "y"], [[1.5, 2], [3.25, 4]]),
        ("1,5 2\n3,25 4\n", ["x", "y"], [[1.5, 2], [3.25, 4]]),
        ('"1,5","2,25"\n"3,5","4"\n', ["x", "y"], [[1.5, 2.25], [3.5, 4]]),
        ("v\n1,5\n2\n3,25\n", ["v"], [[1.5], [2], [3.25]]),
        ("1,05\n2,5\n3,25\n", ["x1"], [[1.05], [2.5], [3.25]]),
        ("1;2\n" * 3000 + "1,5;2\n" + "1;2\n" * 9000, ["x", "y"], [[1, 2]] * 3000 + [[1.5, 2]] + [[1, 2]] * 9000),
    ],
)
def test_decimal_commas_are_understood_and_said(text, names, rows):
    assert "decimal comma" in said(assert_reads(text, names, rows))


def test_commas_between_whole_numbers_are_delimiters_even_in_ragged_files():
    assert_reads("1,2\n" * 300 + "3\n" + "4,5\n", ["x", "y"], [[1, 2]] * 300 + [[4, 5]], rows_in_file=302, dropped=1)
    assert_reads("x,y\n1,05\n2,07\n", ["x", "y"], [[1, 5], [2, 7]])


def test_a_decimal_point_stays_one_between_semicolons():
    found = assert_reads("a;b\n1.5;2\n3;4\n", ["a", "b"], [[1.5, 2], [3, 4]])
    assert "decimal comma" not in said(found)


def test_text_with_spaces_and_other_delimiters_does_not_mislead():
    text = "name;when;v\nSmith, John;2020-01-01 12:00;1.5\nDoe, Jane | 2;2020-01-02 13:30;2\n"
    assert_reads(text, ["v"], [[1.5], [2]], left_out=("name", "when"))


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ('"a","b, c"\n"1","2"\n', ["a", "b, c"], [[1, 2]]),
        ('name,"a\n(kg)"\n"Bob\nB.",1\ntim,2\n', ["a (kg)"], [[1], [2]]),
        ('"he said ""x""",b\n1,2\n', ['he said "x"', "b"], [[1, 2]]),
        ('1, "2"\n3, "4"\n', ["x", "y"], [[1, 2], [3, 4]]),
        ('"my x" y\n1 2\n', ["my x", "y"], [[1, 2]]),
    ],
)
def test_quoted_fields(text, names, rows):
    assert_reads(text, names, rows, left_out=("name",) if "name" in text else ())


@pytest.mark.parametrize(
    "text",
    [
        "# made by hand\n  # twice\nx,y\n1,2\n# between\n3,4\n# end",
        "\n\nx,y\n\n1,2\n   \n\t\n3,4\n\n\n",
        "x,y,\n1,2,\n3,4,\n",
        ",,,,\nx,y,,,\n1,2,,,\n,,,,\n3,4,,,\n,,,,",
        "sep=,\nx,y\n1,2\n3,4\n",
        " x, y\n 1, 2 \n3 ,4\n",
    ],
)
def test_comments_blank_lines_and_trailing_delimiters_are_no_data(text):
    found = assert_reads(text, ["x", "y"], [[1, 2], [3, 4]])
    assert ("comment lines beginning with # were skipped" in said(found)) == text.startswith("#")


def test_aligned_columns_of_spaces_and_tabs():
    assert_reads("   1.0    2.0\n  10.0 \t 20.0  \n", ["x", "y"], [[1, 2], [10, 20]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings(encoding, end):
    data = f"größe,naïf{end}1,2{end}3,4{end}".encode(encoding)
    found = assert_reads(data, ["größe", "naïf"], [[1, 2], [3, 4]])
    assert ("Latin-1" in said(found)) == (encoding == "latin-1")


def test_both_byte_orders_of_utf_16():
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert_reads(mark + "x,y\n1,2\n".encode(encoding), ["x", "y"], [[1, 2]])


def test_real_minus_signs_are_minus_signs():
    assert_reads("−1,2\n3,−4.5\n", ["x", "y"], [[-1, 2], [3, -4.5]])


def test_names_are_made_unique_filled_in_and_shortened():
    long = "a very long name that nobody will ever want to see on an axis of a figure"
    text = f"a,a,,a,{long},{long},x3\n1,2,3,4,5,6,7\n"
    names = read(text).names
    assert names[:4] == ("a", "a (2)", "x3", "a (3)")
    assert len(set(names)) == len(names) == 7
    assert names[4] == "a very long name that nobody will ever…"
    assert max(map(len, names)) <= 40


def test_names_hold_nothing_that_cannot_be_printed():
    assert read("a\u202eb\x0b,c\u200d\n1,2\n").names == ("a b", "c")


def test_a_file_written_by_r_has_no_name_for_its_row_names():
    assert_reads('"x" "y"\n"a" 1 2\n"b" 3 4\n', ["x", "y"], [[1, 2], [3, 4]], left_out=("row",))


def test_rows_without_a_finite_number_in_each_column_are_dropped_and_counted():
    text = "x,y\n1,2\nNA,3\n4,\n5,nan\ninf,6\n7,-Infinity\nsoon,8\n9,1e400\n10,11\n"
    found = assert_reads(text, ["x", "y"], [[1, 2], [10, 11]], rows_in_file=9, dropped=7, infinite=3)
    assert "7 of 9 rows are left out" in said(found)
    assert "“soon” in column x, row 7" in said(found)
    assert "3 hold an infinite value" in said(found)


def test_rows_that_are_too_long_or_too_short_are_dropped_and_counted():
    found = assert_reads("x,y\n1,2\n3,4,5\n6\n7,8,\n9,10,oh\n", ["x", "y"], [[1, 2], [7, 8]], rows_in_file=5, dropped=3)
    assert "2 have too many cells" in said(found)


def test_text_and_dates_are_left_out_and_do_not_cost_rows():
    text = "who,when,v,z\nbob,2020-01-01,1,\n,2020-01-02,2,\ntim,,3,\n"
    found = assert_reads(text, ["v"], [[1], [2], [3]], left_out=("who", "when"))
    assert "text or dates: who, when" in said(found)
    assert "empty: z" in said(found)


def test_at_least_half_of_the_cells_that_are_not_empty_make_a_column_numeric():
    half = "v,w\n" + "1,1\n" * 2 + "a,1\n" * 2 + ",1\n" * 5
    assert_reads(half, ["v", "w"], [[1, 1]] * 2, rows_in_file=9, dropped=7)
    less = "v,w\n" + "1,1\n" * 2 + "a,1\n" * 3 + ",1\n" * 5
    assert_reads(less, ["w"], [[1]] * 10, left_out=("v",))


@pytest.mark.parametrize(
    "cell", ["=1+2", "+SUM(A1)", "@x", "-2+3", "=cmd|' /C calc'!A0", "True", "0x1A", "1_000", "１", "1e", "5%"]
)
def test_what_only_looks_like_a_number_or_would_be_a_formula_is_text(cell):
    assert_reads(f"f,v\n{cell},1\n{cell},2\n", ["v"], [[1], [2]], left_out=("f",))


def test_thousands_marks_are_not_guessed():
    assert_reads('v,w\n"1,234",1\n5,2\n', ["v", "w"], [[5, 2]], rows_in_file=2, dropped=1)


def test_constant_columns_are_kept():
    assert_reads("a,b\n7,1\n7,2\n", ["a", "b"], [[7, 1], [7, 2]])


def test_numbers_of_any_length_are_read():
    digits = "123456789" * 3
    assert_reads(f"a,b\n{digits},1\n0.{digits},2\n", ["a", "b"], [[float(digits), 1], [float(f"0.{digits}"), 2]])
    assert_reads("9" * 5000 + ",1\n2,3\n", ["x", "y"], [[2, 3]], rows_in_file=2, dropped=1, infinite=1)


def test_an_unclosed_quotation_mark_costs_one_row_and_not_the_rest():
    found = assert_reads('x,y\n1,2\n3,"4\n5,6\n', ["x", "y"], [[1, 2], [5, 6]], rows_in_file=3, dropped=1)
    assert "never closed" in said(found)
    assert_reads('"1,2\n' + "3,4\n" * 20, ["x", "y"], [[3, 4]] * 20, rows_in_file=21, dropped=1)


def test_lines_that_a_pair_of_stray_quotation_marks_swallows_are_mentioned():
    found = read('n,v\n"a,1\nb,2\nc",3\nd,4\n')
    assert found.rows_in_file == 2
    assert "2 lines went into quoted cells" in said(found)


def test_the_first_twenty_numeric_columns_are_kept():
    names = [f"c{i}" for i in range(100)]
    found = assert_reads(",".join(names) + "\n" + ",".join(map(str, range(100))) + "\n", names[:20], [list(range(20))])
    assert "Of 100 numeric columns the first 20" in said(found)


def test_a_column_that_is_not_kept_costs_no_rows():
    row = ",".join(["1"] * 20)
    assert_reads(f"{row},1\n{row},\n", [f"x{i + 1}" for i in range(20)], [[1] * 20] * 2)


@pytest.mark.parametrize("wrap", [lambda points: points, lambda points: {"points": points, "seed": 7}])
def test_json_of_our_own_exports(wrap):
    points = [[0.1, -2], [3e-7, 4]]
    assert_reads(json.dumps(wrap(points)), ["x", "y"], points)
    assert_reads(json.dumps(wrap(points), indent=2), ["x", "y"], points)
    assert_reads(json.dumps(wrap([[1, 2, 3]])), ["x1", "x2", "x3"], [[1, 2, 3]])
    assert_reads(json.dumps(wrap([1.5, 2])), ["x1"], [[1.5], [2]])
    assert_reads(
        json.dumps(wrap([[1, None], [math.inf, 1], [3, 4]])), ["x", "y"], [[3, 4]], rows_in_file=3, dropped=2, infinite=1
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"\n \n\r\n", "no data"),
        (b"# only\n# comments", "no data"),
        (b"\xef\xbb\xbf", "no data"),
        (b"x,y\n", r"only a header \(x, y\) and 0 rows"),
        (b"height", "only a header"),
        (b"name\nbob\ntim\n", "“name” is a column of text.*“bob”"),
        (b"name,day\nbob,2020-01-01\ntim,2020-01-02\n", "“name” is one of 2 columns, none of them numeric"),
        (b"x,y\n1,\n,2\n", "Of 2 rows 0 can be used, and at least 1"),
        (b"v\ninf\ninf\n", "Of 2 rows 0 can be used"),
        (b"x,y\nNA,NA\n", "0 numbers, and at least 1"),
        (b"1," * 3000 + b"1\n", "3,001 columns, and the limit is 100"),
        ((b"1;" * 100 + b"1\n") * 50, "101 columns, and the limit is 100"),
        (b"1 " * 500_000, "500,000 columns, and the limit is 100"),
        (b"v\n1\n" + b"2" * 200_000, "200,000 bytes, and the limit is 100,000"),
        (b"PK\x03\x04" + bytes(60), "Excel.*CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), "Excel.*CSV"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "picture"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "picture"),
        (b"GIF89a" + bytes(60), "picture"),
        (b"BM" + (64).to_bytes(4, "little") + bytes(58), "picture"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "picture"),
        (b"\x1f\x8b\x08" + bytes(60), "archive"),
        (b"\x93NUMPY\x01\0" + bytes(60), "NumPy"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html><table><tr><td>1</td></tr></table>", "web page"),
        ("<?xml version='1.0'?><a/>".encode("utf-16"), "web page or XML"),
        (bytes(1000), "binary"),
        (np.random.default_rng(0).bytes(1000), "binary"),
        ("1,2\n".encode("utf-16-le"), "binary"),
        (b"[[1, 2], [3", "damaged or incomplete"),
        (b"[" * 100_000, "damaged or incomplete"),
        (b"[[1, 2], [3]]", "Point 2.*2 numbers"),
        (b"[[1, 2], 3]", "Point 2"),
        (b'[[1, 2], [3, "4"]]', "Point 2.*“4”"),
        (b"[[1, true]]", "Point 1.*“True”"),
        (b"[[1, [2]]]", "Point 1.*a list or an object"),
        (b'[{"x": 1}]', "Point 1.*a list or an object"),
        (b"[]", "0 points, and at least 1"),
        (b"[[]]", "0 coordinates, and at least 1"),
        (b'{"values": [[1, 2]]}', "no list of points"),
        (b"[[1" + b"0" * 400 + b"]]", "1.8e308"),
        (b"[" + b"1," * 5_000_000 + b"1]", "10,000,003 characters, and the limit is 10,000,000"),
        (b"1\n" * 2_000_001, "2,000,001 rows, and the limit is 2,000,000"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(data, says):
    with pytest.raises(Refused, match=f"(?s){says}") as refused:
        table(data)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0] == "“"
    assert "\n" not in sentence
    assert sentence.isprintable()
    assert len(sentence) < 250


def test_a_header_that_begins_like_a_bitmap_is_a_header():
    assert_reads("BMI,age\n21.5,30\n", ["BMI", "age"], [[21.5, 30]])


def test_a_file_over_the_limit_is_refused_unread(monkeypatch):
    monkeypatch.setattr(tables, "_text", lambda data: pytest.fail("read"))
    with pytest.raises(Refused, match=r"20,000,001 bytes.*20,000,000"):
        table(bytes(tables.MAX_BYTES + 1))


def test_two_million_rows_are_just_allowed():
    found = read("1\n" * 2_000_000)
    assert (found.rows_in_file, found.sampled, len(found.columns)) == (2_000_000, True, 200_000)


def test_refusals_are_those_of_uploads():
    assert Refused is uploads.Refused
    assert issubclass(Refused, ValueError)


def test_errors_of_our_own_are_not_called_bad_files(monkeypatch):
    monkeypatch.setattr(tables, "_usable", lambda *arguments: None.no_such_method())
    with pytest.raises(AttributeError):
        read("1,2\n")


def numbered(n: int) -> bytes:
    return b"index,bad\n" + b"".join(b"%d,%s\n" % (i, b"" if i % 10 == 9 else b"1") for i in range(n))


def test_a_long_table_is_sampled_without_repeats_in_the_files_order_and_by_seed(monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 500)
    data = numbered(2000)
    first, again, other = (table(data, noise=seed) for seed in (3, 3, 4))
    index = first.columns[:, 0]
    assert len(index) == 500
    assert (np.diff(index) > 0).all()
    assert (index % 10 != 9).all()  # only usable rows
    assert (first.rows_in_file, first.dropped, first.sampled) == (2000, 200, True)
    assert "Of 1,800 usable rows a fair sample of 500" in said(first)
    np.testing.assert_array_equal(first.columns, again.columns)
    assert not np.array_equal(first.columns, other.columns)


def test_as_many_rows_as_allowed_are_not_sampled(monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 1800)
    found = table(numbered(2000))
    assert not found.sampled
    assert len(found.columns) == 1800
    monkeypatch.setattr(tables, "MAX_ROWS", 1799)
    assert len(table(numbered(2000)).columns) == 1799


def test_every_row_and_every_pair_is_as_likely_to_stay(monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 4)
    seeds, n = 4000, 11  # 4 of 11: more than two pieces of the generator's numbers
    stays = np.array([tables._sample(n, tables.Noise(seed)) for seed in range(seeds)], dtype=float)  # (seeds, n)
    assert (stays.sum(axis=1) == 4).all()
    together = stays.T @ stays / seeds  # (n, n): how often a pair stays
    single, pair = 4 / 11, 4 * 3 / (11 * 10)
    five_sigma = 5 * math.sqrt(0.25 / seeds)
    assert np.abs(np.diag(together) - single).max() < five_sigma
    assert np.abs(together - pair)[~np.eye(n, dtype=bool)].max() < five_sigma


def test_200_000_rows_are_read_quickly():
    values = np.random.default_rng(0).normal(size=(200_000, 3))
    data = ("a,b,c\n" + "\n".join(f"{a!r},{b!r},{c!r}" for a, b, c in values.tolist())).encode()
    read("1,2\n")  # imports pandas
    began = time.process_time()
    found = table(data)
    assert time.process_time() - began < 1
    assert found.names == ("a", "b", "c")
    assert not found.sampled
    np.testing.assert_array_equal(found.columns, values)  # not one bit lost, and pieces joined in order


@pytest.mark.parametrize(
    "data",
    [
        ("1.25,x%06d\n" * 200_000 % tuple(range(200_000))).encode(),  # as many different texts
        (b"1," + b"a," * 97 + b"2\n") * 95_000,  # nine million short texts
        b"1,2\n" * 1000 + (b"1,2" + b",3" * 40_000 + b"\n") * 200,  # rows that are far too long
    ],
)
def test_time_and_memory_are_bounded(data):
    tracemalloc.start()
    began = time.process_time()
    try:
        table(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 25 * len(data)  # at most 500 MB for the largest file
    assert time.process_time() - began < 10  # tracing takes most of it


def test_pieces_are_joined_as_if_the_file_were_parsed_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    cells = ["1.5", "-2", "", "NA", "inf", '"a\nb"', '"say ""hi"", x"', "word", "3e4", "7,8"]
    text = "p,q,r\n1,2,3\n" + "".join(",".join(rng.choice(cells, 3, p=[0.3, 0.3] + [0.05] * 8)) + "\n" for _ in range(500))
    whole = read(text)
    for size in (1, 10, 97):
        monkeypatch.setattr(tables, "PIECE", size)
        pieces = read(text)
        np.testing.assert_array_equal(pieces.columns, whole.columns)
        assert pieces.notices == whole.notices
        assert (pieces.rows_in_file, pieces.dropped) == (whole.rows_in_file, whole.dropped)


CELL = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", "NA", "abc", "2020-01-01", "=A1", "a, b", 'say "x"', " 1.5 ", "-", "1e5", "a\nb", "x#y"]),
)


def number(cell: str) -> float | None:
    """The slow twin's reading of a cell: None for text, NaN where it is missing."""
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return math.nan if cell in ("NA", "-") else None


@FUZZ
@given(
    st.integers(2, 5).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=12)),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
@example([["1", ""], ["", "2"]], ",", "\n")
def test_the_slow_twin_reads_the_same_rows_and_columns(rows, delimiter, end):
    """Python's csv module and float(), told the delimiter and the header, which must be found here."""
    width = len(rows[0])
    sure = [["0.5"] * width] * 40  # what makes it certain what the delimiter is, and that columns are numeric
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows([["name"] * width, *sure, *rows])
    again = list(csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter))[1:]
    parsed = [[number(cell) for cell in row] for row in again if any(cell.strip() for cell in row)]
    expected = [row for row in parsed if all(value is not None and math.isfinite(value) for value in row)]
    infinite = sum(any(value is not None and math.isinf(value) for value in row) for row in parsed)
    found = read(file.getvalue())
    np.testing.assert_array_equal(found.columns, np.array(expected).reshape(-1, width))
    assert (found.rows_in_file, found.dropped, found.infinite) == (len(parsed), len(parsed) - len(expected), infinite)


def assert_table_or_refused(data: bytes) -> None:
    try:
        found = table(data)
    except Refused as refused:
        sentence = str(refused)
        assert sentence.isprintable()
        assert sentence.endswith(".")
        return
    assert found.columns.dtype == np.float64
    assert found.columns.shape == (found.rows_in_file - found.dropped, len(found.names))
    assert min(found.columns.shape) >= 1
    assert np.isfinite(found.columns).all()
    assert len(set(found.names)) == len(found.names)
    assert all(0 < len(name) <= 40 and name.isprintable() for name in found.names)
    assert all(notice.isprintable() for notice in found.notices)


SOUND = [
    b"x,y\n1,2\n3.5,-4\nNA,5\n6,7\n",
    b"a;b;c\r\n1,5;2,25;foo\r\n3;4;bar\r\n",
    b'"name","v, w"\n"Smith, J.",1\n"a ""b""",2\n',
    b"# c\n 1.0   2.0\n 3.0   4.0\n",
    "größe\tnaïf\n1\t2\n".encode("utf-16"),
    "größe|naïf\n1|2\n".encode("latin-1"),
    b'{"points": [[1, 2], [3.5, null]]}',
    b"[[1, 2], [3, 4]]",
    b"sep=;\nv\n1\n2\n3\n",
    b"1e400,inf\n99999999999999999999999,nan\n1,2\n",
]
PIECES = [
    b",",
    b";",
    b"\t",
    b" ",
    b"|",
    b'"',
    b"\n",
    b"\r",
    b"#",
    b"1",
    b"2.5",
    b"-",
    b"e",
    b"a",
    b"\x1f",
    b"\0",
    b"\xff",
    b"\\",
    b"[",
]


@FUZZ
@given(st.binary(max_size=300), st.sampled_from([data[:n] for data in SOUND for n in (0, 3, 12)]))
@example(b'"' + b"1\n" * 10, b"")
@example(b"\xd8\x00", b"\xfe\xff")
@example(b"\x0b", b"")
@example(b"\x1f", b"")
@example(b'\xff\xfe"\x00', b"")
def test_random_bytes_give_a_table_or_a_refusal(noise, beginning):
    assert_table_or_refused(beginning + noise)


@FUZZ
@given(st.lists(st.sampled_from(PIECES[:-5]), max_size=80))
def test_random_cells_and_delimiters_give_a_table_or_a_refusal(pieces):
    assert_table_or_refused(b"".join(pieces))


@FUZZ
@given(
    st.sampled_from(SOUND),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.one_of(st.sampled_from(PIECES), st.binary(max_size=3))), max_size=6
    ),
)
def test_mutated_files_give_a_table_or_a_refusal(data, changes):
    for where, gone, new in changes:
        at = int(where * len(data))
        data = data[:at] + new + data[at + gone :]
    assert_table_or_refused(data)


@pytest.mark.parametrize("data", SOUND)
def test_truncated_files_give_a_table_or_a_refusal(data):
    for end in range(len(data)):
        assert_table_or_refused(data[:end])
