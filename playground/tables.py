"""Files from strangers: to a table of numbers, or a sentence saying why not.

A file of rows says neither what separates its cells nor whether its first row holds names, and its name may say anything. Both
are found from the cells: of the delimiters that give rows of one length, the one under which the largest share of cells are
numbers is taken (so `1,5;2,3` is two numbers with decimal commas, not three pieces); and the first row is a header if its cells
are no numbers where those below are. A column counts as numeric if at least half of its cells that are not empty are numbers. A
row that lacks a finite number in a numeric column is left out and counted: nothing is filled in, because a made-up point would
bend every model that is fitted to the cloud.

Of more than `MAX_ROWS` usable rows a uniform sample without replacement is kept: each row gets a uniform number, the smallest
`MAX_ROWS` win (random sort: Tillé 2006, "Sampling algorithms", chapter 4), and they stay in the file's order.

The columns are read by pandas' C parser, in pieces of `PIECE` bytes, so that memory follows the numbers and not the texts.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

import numpy as np

from models.noise import Noise
from playground.uploads import Refused

MAX_BYTES = 20_000_000  # of the file
MAX_JSON_BYTES = 10_000_000  # a list of lists takes ten times as much memory
MAX_ROWS = 200_000  # kept: more are sampled
MAX_ROWS_IN_FILE = 2_000_000
MAX_COLUMNS = 100  # in the file
MAX_KEPT = 20  # numeric columns
MAX_LINE = 100_000  # characters: beyond, it is no row of a table
NAME_LENGTH = 40  # characters
PIECE = 2_000_000  # bytes parsed at once

Quoting = Literal[0, 3]  # csv.QUOTE_MINIMAL or csv.QUOTE_NONE
SINGLE = "\x1f"  # the "delimiter" of a file with one column: a character that no text holds
SPACES = " "
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", SPACES: "spaces", SINGLE: ""}
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?", "."})
NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity)", re.I)
LIKELY_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*|,[0-9]+)?|[.,][0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf(?:inity)?", re.I)
COMMA_AND_POINT = str.maketrans(",.", ".,")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
COMMENT = re.compile(r"\n[ \t]*#(?!N/A|DIV/0!|NUM!|VALUE!|REF!)[^\n]*")  # a spreadsheet's error in the first cell is none
BLANK = re.compile(r"\n[,;|\t \n]*(?=\n)")  # lines of nothing, or of nothing but delimiters
JSON_BEGINS = re.compile(r"\s*(?:\{|\[\s*(?:[\[\]{0-9-]|null|NaN|Infinity))")

SAVE_AS_CSV = "save the table as CSV and send that."
UNPACK = "unpack it and send the table."
SEND_NUMBERS = "send a table of numbers, for instance a CSV file."
OTHER_KINDS = (  # (how the file begins, what it is, what would be right)
    (b"PK\x03\x04", "an Excel workbook or another ZIP archive", SAVE_AS_CSV),
    (b"PK\x05\x06", "an empty ZIP archive", SEND_NUMBERS),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook or another Office document", SAVE_AS_CSV),
    (b"%PDF-", "a PDF document", "copy the table into a spreadsheet, and save it as CSV."),
    (b"{\\rtf", "a formatted text (RTF)", SAVE_AS_CSV),
    (b"\x1f\x8b", "a compressed archive", UNPACK),
    (b"BZh", "a compressed archive", UNPACK),
    (b"\xfd7zXZ", "a compressed archive", UNPACK),
    (b"7z\xbc\xaf", "a compressed archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a compressed archive", UNPACK),
    (b"\x93NUMPY", "a NumPy array", SAVE_AS_CSV),
    (b"PAR1", "a Parquet file", SAVE_AS_CSV),
    (b"\x89HDF", "an HDF5 file", SAVE_AS_CSV),
    (b"SQLite format 3", "a database", SAVE_AS_CSV),
    (b"\x89PNG", "a picture", SEND_NUMBERS),
    (b"\xff\xd8\xff", "a picture", SEND_NUMBERS),
    (b"GIF8", "a picture", SEND_NUMBERS),
    (b"II*\0", "a picture", SEND_NUMBERS),
    (b"MM\0*", "a picture", SEND_NUMBERS),
    (b"RIFF", "a picture, a film or a sound", SEND_NUMBERS),
)
MARKUP = re.compile(r"\s*<(?:!doctype|html|head|body|table|svg|!--|\?xml)", re.I)
BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_one_at_a_time = threading.Lock()  # bounds memory


@dataclass(frozen=True, eq=False)
class Table:
    """What was found in a file. Every number in `columns` is finite."""

    names: tuple[str, ...]  # of the numeric columns: unique, at most NAME_LENGTH characters
    columns: np.ndarray  # float64 (rows, columns)
    rows_in_file: int  # without header, comments and blank lines
    dropped: int  # of them, those without a finite number in each numeric column, or with too many cells
    infinite: int  # of those dropped, the ones that hold an infinite value
    sampled: bool  # more than MAX_ROWS were usable
    left_out: tuple[str, ...]  # names of the columns that hold text or dates
    notices: list[str]  # sentences for the person who sent the file; plain text, to be escaped where it is shown


@dataclass(frozen=True)
class _Form:
    """How a text is written."""

    delimiter: str
    decimal: str
    header_lines: int  # physical lines of the first record; 0: no header
    names: list[str]
    quoting: Quoting = csv.QUOTE_MINIMAL


@dataclass(frozen=True, eq=False)
class _Column:
    """One column of the file, before it is known whether it counts as numeric."""

    values: np.ndarray  # float64 (rows,), NaN where there is no number
    wordy: np.ndarray  # bool (rows,), where there is something that is no number
    example: str = ""  # the first such cell


@dataclass(frozen=True, eq=False)
class _Contents:
    names: list[str]
    columns: list[_Column]
    too_long: np.ndarray  # bool (rows,): rows with more cells than there are columns
    notices: list[str]


def table(data: bytes, *, noise: Noise | int = 0) -> Table:
    """The numeric columns of a CSV-like or JSON file's bytes. `noise` (an int is a seed) picks the sample of a long table.

    Read are cells separated by commas, semicolons, tabs, vertical bars or spaces, with or without a header, in UTF-8, UTF-16 or
    UTF-32 (with a byte order mark) or else Latin-1; and JSON as the pages export it: a list of `[x, y]` or `{"points": [...]}`.

    Raises `Refused`, and nothing else, for an empty file, one over `MAX_BYTES`, `MAX_ROWS_IN_FILE` or `MAX_COLUMNS`, one of
    another kind, and one without a numeric column or a usable row. Threads wait for each other.
    """
    if not data:
        raise Refused("The file is empty (0 bytes): send a table of numbers, for instance a CSV file.")
    if len(data) > MAX_BYTES:
        raise Refused(f"The file has {len(data):,} bytes, and the limit is {MAX_BYTES:,}: send fewer rows or columns.")
    _refuse_other_kinds(data)
    with _one_at_a_time:
        text, notices = _text(data)
        contents = _json(text) if JSON_BEGINS.match(text) else _separated(text)
        return _usable(contents, notices, Noise.of(noise))


def _refuse_other_kinds(data: bytes) -> None:
    """`Refused` for files that people mistake for tables, told by how they begin."""
    for beginning, what, right in OTHER_KINDS:
        if data.startswith(beginning):
            raise Refused(f"The file is {what}, not a table in plain text: {right}")
    bitmap = data[:2] == b"BM" and int.from_bytes(data[2:6], "little") == len(data)  # a header may begin with "BMI"
    if bitmap or data[4:8] == b"ftyp":
        raise Refused(f"The file is a picture or a film, not a table in plain text: {SEND_NUMBERS}")


def _text(data: bytes) -> tuple[str, list[str]]:
    """The file as text with plain line ends, and what there is to say about that. `Refused` for bytes that are no text."""
    notices = []
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    unusual = r"[\x00-\x08\x0e-\x1f\x7f]"
    try:
        text = data.decode(encoding or "utf-8", errors="replace" if encoding else "strict")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
        unusual = r"[\x00-\x08\x0e-\x1f\x7f-\x9f]"
        notices.append("The file is not in UTF-8: its letters were read as Latin-1.")
    beginning = text[:100_000]
    if "\0" in text or len(re.findall(unusual, beginning)) > 0.05 * len(beginning):
        raise Refused(
            f"The file ({len(data):,} bytes) is not text but binary data: send a table in plain text, for instance a CSV file."
        )
    if MARKUP.match(text):
        raise Refused("The file is a web page or XML, not a table in plain text: copy the table out of it, and save it as CSV.")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    return text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " "), notices


def _json(text: str) -> _Contents:
    """A list of rows, or of numbers, by itself or under "points"; null is a missing value."""
    right = 'send a list of points such as [[1, 2], [3, 4]], or {"points": [[1, 2], [3, 4]]}'
    if len(text) > MAX_JSON_BYTES:
        raise Refused(f"The JSON has {len(text):,} characters, and the limit is {MAX_JSON_BYTES:,}: send the points as CSV.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The file begins like JSON, but is damaged or incomplete: {right}.") from error
    if isinstance(found, dict):
        found = found.get("points")
    if not isinstance(found, list):
        raise Refused(f"The JSON holds no list of points: {right}.")
    if not found:
        raise Refused(f"The JSON holds a list of 0 points, and at least 1 is needed: {right}.")
    rows = found if isinstance(found[0], list) else [[value] for value in found]
    width = len(rows[0])
    if width == 0:
        raise Refused(f"Point 1 of the JSON has 0 coordinates, and at least 1 is needed: {right}.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != width:
            raise Refused(f"Point {number:,} of the JSON is not a list of {_count(width, 'number')}, as the first is: {right}.")
        for value in row:
            if type(value) not in (float, int, type(None)):  # a bool is an int, but no number
                what = f"“{_short(str(value), 20)}”" if isinstance(value, str | bool) else "a list or an object"
                raise Refused(f"Point {number:,} of the JSON holds {what}, not a number: {right}.")
    _check_shape(len(rows), width)
    try:
        array = np.array(rows, dtype=np.float64).reshape(len(rows), width)  # (rows, columns); null becomes NaN
    except OverflowError as error:
        raise Refused("The JSON holds an integer beyond 1.8e308, the largest number there is here: scale it down.") from error
    no = np.zeros(len(rows), dtype=bool)
    notices = [f"Read {_count(len(rows), 'point')} with {_count(width, 'coordinate')} from JSON."]
    return _Contents(_names([], width), [_Column(values, no) for values in array.T], no, notices)


def _separated(text: str) -> _Contents:
    """Cells that are separated by something: what by is found first, then the text is parsed."""
    text = f"\n{text}\n"
    text, comments = COMMENT.subn("", text) if "#" in text else (text, 0)
    text = BLANK.sub("", text)[1:].rstrip("\n")
    hint = re.match(r'"?sep=([,;\t|])"?\n', text)  # Excel writes this line, and hides it
    if hint:
        text = text[hint.end() :]
    if not text.strip():
        raise Refused("The file holds no data, only blank lines or comments: send at least one row of numbers.")
    form = _form(text, hint.group(1) if hint else None)
    raw = text.encode("utf-8", errors="replace")
    body = raw if form.header_lines == 0 else b"".join(raw.split(b"\n", form.header_lines)[form.header_lines :])
    if not body.strip():
        raise Refused(f"The file has only a header ({_listed(form.names)}) and 0 rows: send at least one row of numbers.")
    _check_lines(body)
    try:
        columns, too_long = _parse(body, form)
    except ValueError:  # pandas' ParserError is one: a quotation mark that is never closed
        decimal = "." if form.delimiter == "," else form.decimal  # without quotes, a comma cannot be both
        form = replace(form, decimal=decimal, quoting=csv.QUOTE_NONE)
        try:
            columns, too_long = _parse(body, form)
        except ValueError as error:
            raise Refused(f"The table ({len(raw):,} bytes) cannot be split into rows: {SAVE_AS_CSV}") from error
    by = f", separated by {DELIMITERS[form.delimiter]}" if form.delimiter != SINGLE else ""
    head = "with a header" if form.header_lines else f"without a header: here called {_listed(form.names)}"
    notices = [f"Read {_count(len(too_long), 'row')} of {_count(len(form.names), 'column')}{by}, {head}."]
    if form.decimal == ",":
        notices.append("Numbers are read with a decimal comma.")
    if comments:
        notices.append(f"{_count(comments, 'comment line')} beginning with # {'was' if comments == 1 else 'were'} skipped.")
    if form.quoting == csv.QUOTE_NONE:
        notices.append("A quotation mark is never closed, so quotation marks were taken as ordinary characters.")
    elif lines := body.count(b"\n") + (not body.endswith(b"\n")) - len(too_long):
        notices.append(f"{_count(lines, 'line')} went into quoted cells of more than one line.")
    return _Contents(form.names, columns, too_long, notices)


def _form(text: str, hint: str | None, quoting: Quoting = csv.QUOTE_MINIMAL) -> _Form:
    """The delimiter, the decimal sign and the header, found on lines from the beginning, the middle and the end."""
    lines = _some_lines(text)
    candidates = []
    for delimiter in (hint,) if hint else DELIMITERS:
        rows = [row for row, _ in _records(lines, delimiter, quoting) if row] or [[""]]
        below = rows[1:] or rows  # the first may be a header, and of another length
        widths = Counter(len(row) for row in below)
        width = max(widths, key=lambda w: (widths[w], w))
        cells = [cell for row in below if len(row) == width for cell in row if cell.casefold() not in MISSING]
        numbers = sum(LIKELY_NUMBER.fullmatch(cell) is not None for cell in cells)
        share = widths[width] / len(below)
        score = share * (numbers / max(1, len(cells))) ** 2
        if delimiter == SINGLE and any("," in cell for cell in cells):  # "1,05" is one number rather than two; "1,5" is not
            padded = len(rows[0]) == 1 and any(re.search(r",0[0-9]", row[0]) for row in rows)
            score *= 1.1 if padded and ("," not in rows[0][0] or LIKELY_NUMBER.fullmatch(rows[0][0])) else 0.9
        if width > 1 or delimiter == SINGLE or hint:
            candidates.append((score, len(rows[0]) == width, width, share, delimiter, rows))
    best = max(candidates, key=lambda c: c[:3])  # of equals, one that the first row fits, then the wider, then the earlier
    if best[0] == 0:  # no number anywhere: what splits the first line will do for saying so
        best = max(candidates, key=lambda c: len(c[-1][0]) if c[-2] != SPACES else 1)
    _, _, width, share, delimiter, rows = best
    header = _is_header(rows[0], rows[1:])
    header_lines = next(_records(lines, delimiter, quoting))[1] if header else 0
    if quoting != csv.QUOTE_NONE and (header_lines > 5 or 1 < header_lines == len(lines)):
        return _form(text, hint, csv.QUOTE_NONE)  # no header of many lines, but a quotation mark that is never closed
    given, body = (rows[0], rows[1:]) if header else ([], rows)
    if header and share < 0.9:  # rows of all lengths: the header knows best
        width = len(given)
    elif header and len(given) == width - 1 and any(row[-1] for row in body if len(row) == width):
        given = ["row", *given]  # R names the rows, but not the column of their names
    while given and not given[-1]:
        given = given[:-1]
    width = max(width, len(given))
    while width > max(1, len(given)) and not any(row[width - 1] for row in body if len(row) >= width):
        width -= 1  # every row ends with a delimiter
    if width > MAX_COLUMNS:  # the lines looked at may be shortened
        line = text.split("\n", 1)[0]
        width = max(width, len(line.split()) if delimiter == SPACES else line.count(delimiter) + 1)
    _check_shape(1, width)
    return _Form(delimiter, _decimal(text, delimiter, body), header_lines, _names(given, width), quoting)


def _some_lines(text: str) -> list[str]:
    """At most 600 whole lines: the first ones, and some from the middle and the end, where a file may look different."""
    lines = text[:65_536].split("\n")
    if len(text) <= 65_536:
        return lines[:600]
    lines = (lines[:-1] or lines)[:400]  # the last one is cut off
    for start in (len(text) // 2, len(text) - 24_576):
        lines += text[start : start + 24_576].split("\n")[1:-1][:100]
    return lines


def _records(lines: list[str], delimiter: str, quoting: Quoting) -> Iterator[tuple[list[str], int]]:
    """Rows of stripped cells, each with the number of lines read so far."""
    if delimiter == SPACES:
        for number, line in enumerate(lines, 1):
            yield [cell.strip('"') for cell in re.findall(r'"[^"]*"|[^ \t]+', line)], number
    else:
        reader = csv.reader(
            (line + "\n" for line in lines), delimiter=delimiter, quotechar='"', quoting=quoting, skipinitialspace=True
        )
        for row in reader:
            yield [cell.strip() for cell in row], reader.line_num


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first row holds names: where the cells below are numbers, most of its own are not."""
    numeric = [LIKELY_NUMBER.fullmatch(cell) is not None for cell in first]
    votes = 0
    for place, cell in enumerate(first):
        below = [row[place] for row in rest if len(row) > place and row[place].casefold() not in MISSING]
        if cell.casefold() not in MISSING and 2 * sum(LIKELY_NUMBER.fullmatch(b) is not None for b in below) > len(below):
            votes += -1 if numeric[place] else 1
    return votes > 0 or (votes == 0 and not any(numeric) and any(first))


def _decimal(text: str, delimiter: str, rows: list[list[str]]) -> str:
    """The decimal sign, "." or ",". A comma before three digits may mark thousands, except where semicolons separate."""
    cells = [cell for row in rows for cell in row if LIKELY_NUMBER.fullmatch(cell)]
    points = sum("." in cell for cell in cells)
    commas = sum("," in cell and (delimiter == ";" or not THOUSANDS.fullmatch(cell)) for cell in cells)
    if delimiter == ";" and not points and not commas:  # whole numbers where we looked: look everywhere
        commas, points = (re.search(rf"[0-9]{sign}[0-9]", text) is not None for sign in (",", r"\."))
    return "," if commas > points else "."


def _check_shape(rows: int, columns: int) -> None:
    if rows > MAX_ROWS_IN_FILE:
        raise Refused(f"The file has {rows:,} rows, and the limit is {MAX_ROWS_IN_FILE:,}: send a part of it.")
    if columns > MAX_COLUMNS:
        raise Refused(
            f"The table has {columns:,} columns, and the limit is {MAX_COLUMNS}: "
            "send one row for each point, and only the columns that matter."
        )


def _check_lines(body: bytes) -> None:
    """`Refused` for too many lines, or one so long that it is no row of a table."""
    ends = np.flatnonzero(np.frombuffer(body + b"\n", dtype=np.uint8) == ord("\n"))
    _check_shape(len(ends) - body.endswith(b"\n"), 1)
    longest = int(np.diff(ends, prepend=-1).max()) - 1
    if longest > MAX_LINE:
        raise Refused(f"A line of the file has {longest:,} bytes, and the limit is {MAX_LINE:,}: write one row on each line.")


def _pieces(body: bytes, quoting: Quoting) -> Iterator[bytes]:
    """The body cut at line ends that are outside of quotation marks, into pieces of about `PIECE` bytes."""
    array = np.frombuffer(body, dtype=np.uint8)
    ends = np.flatnonzero(array == ord("\n")) + 1
    if quoting != csv.QUOTE_NONE:
        ends = ends[np.searchsorted(np.flatnonzero(array == ord('"')), ends) % 2 == 0]
    start = 0
    while start < len(body):
        after = np.searchsorted(ends, start + PIECE)
        end = int(ends[after]) if after < len(ends) else len(body)
        yield body[start:end]
        start = end


def _parse(body: bytes, form: _Form) -> tuple[list[_Column], np.ndarray]:
    """All columns, and which rows have too many cells: bool `(rows,)`. `ValueError` for what pandas cannot tokenise."""
    import pandas as pd  # half a second: only when there is a file to read

    width = len(form.names)
    # pandas skips rows that are too long without a count. Told by `usecols` which columns to keep it takes them, and one column
    # more than there are names shows which they are. A row of our own before each piece makes sure that this column exists, and
    # makes a column float from the start (integers beyond 64 bits would come as objects).
    half = f"0{form.decimal}5"
    half = f'"{half}"' if form.decimal == form.delimiter else half
    ours = (form.delimiter.join([half] * (width + 1)) + "\n").encode()
    missing = sorted({spelling for word in MISSING for spelling in (word, word.upper(), word.capitalize())} | {"NaN"})
    found: list[list[_Column]] = []
    for piece in _pieces(body, form.quoting):
        frame = pd.read_csv(
            io.BytesIO(ours + piece),
            sep=r"\s+" if form.delimiter == SPACES else form.delimiter,
            header=None,
            names=range(width + 1),
            usecols=range(width + 1),
            index_col=False,
            decimal=form.decimal,
            quoting=form.quoting,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=missing,
            low_memory=False,  # or the types of a column could change within a piece
            encoding="utf-8",
        )
        found.append([_numbers(frame[place].iloc[1:], form.decimal) for place in range(width + 1)])
    *columns, beyond = [_joined(pieces) for pieces in zip(*found, strict=True)]
    return columns, beyond.wordy | ~np.isnan(beyond.values)


def _numbers(cells: Any, decimal: str) -> _Column:
    """A pandas series as numbers. Where it is not numeric as a whole, each of its different cells is looked at once."""
    import pandas as pd

    if cells.dtype.kind == "f":
        return _Column(cells.to_numpy(), np.zeros(len(cells), dtype=bool))
    codes, different = pd.factorize(cells)  # (rows,): which of the different cells, -1 where missing
    values, wordy = np.full(len(different) + 1, np.nan), np.zeros(len(different) + 1, dtype=bool)  # the last is for -1
    example = ""
    for place, cell in enumerate(different):
        text = str(cell).strip()
        number = text.translate(COMMA_AND_POINT) if decimal == "," else text
        if NUMBER.fullmatch(number):
            values[place] = float(number)
        elif text.casefold() not in MISSING:
            wordy[place] = True
            example = example or text
    return _Column(values[codes], wordy[codes], example)


def _joined(pieces: Iterable[_Column]) -> _Column:
    pieces = list(pieces)
    return _Column(
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.wordy for piece in pieces]),
        next((piece.example for piece in pieces if piece.example), ""),
    )


def _usable(contents: _Contents, notices: list[str], noise: Noise) -> Table:
    """The numeric columns and the complete rows of what was read; `Refused` where there are none."""
    names, columns = contents.names, contents.columns
    rows = len(contents.too_long)
    notices = contents.notices + notices
    numbers = [int(np.count_nonzero(~np.isnan(column.values))) for column in columns]
    words = [int(np.count_nonzero(column.wordy)) for column in columns]
    numeric = [place for place in range(len(names)) if numbers[place] and numbers[place] >= words[place]]
    text = tuple(name for name, n, w in zip(names, numbers, words, strict=True) if w > n)
    empty = [name for name, n, w in zip(names, numbers, words, strict=True) if w == n == 0]
    if not numeric:
        _refuse_words(names, columns, words, rows)
    kept = numeric[:MAX_KEPT]
    data = np.column_stack([columns[place].values for place in kept])  # (rows, kept)
    usable = np.isfinite(data).all(axis=1) & ~contents.too_long  # (rows,)
    infinite = int(np.count_nonzero(np.isinf(data).any(axis=1)))
    n = int(np.count_nonzero(usable))
    if text:
        notices.append(f"Left out, because they hold text or dates: {_listed(text)}.")
    if empty:
        notices.append(f"Left out, because they are empty: {_listed(empty)}.")
    if len(numeric) > MAX_KEPT:
        notices.append(f"Of {len(numeric)} numeric columns the first {MAX_KEPT} are kept, which is the limit.")
    if n < rows:
        says = f"{rows - n:,} of {_count(rows, 'row')} {'is' if rows - n == 1 else 'are'} left out"
        wrong = [(int(np.argmax(columns[place].wordy)), place) for place in kept if words[place]]
        example = ""
        if wrong:
            row, place = min(wrong)
            example = f" (the first: “{_short(columns[place].example, 20)}” in column {names[place]}, row {row + 1:,})"
        notices.append(f"{says}, because a value is missing, infinite or not a number{example}.")
        if infinite:
            notices.append(f"Of the rows left out, {infinite:,} {'holds' if infinite == 1 else 'hold'} an infinite value.")
        if too_long := int(np.count_nonzero(contents.too_long)):
            notices.append(f"Of the rows left out, {too_long:,} {'has' if too_long == 1 else 'have'} too many cells.")
        if n == 0:
            columns_meant = _listed([names[place] for place in kept], 3)
            raise Refused(
                f"Of {_count(rows, 'row')} 0 can be used, and at least 1 is needed: "
                f"a row needs a finite number in each numeric column ({columns_meant})."
            )
    if n > MAX_ROWS:
        usable[np.flatnonzero(usable)[~_sample(n, noise)]] = False
        notices.append(f"Of {n:,} usable rows a fair sample of {MAX_ROWS:,} is kept, which is the limit.")
    return Table(tuple(names[place] for place in kept), data[usable], rows, rows - n, infinite, n > MAX_ROWS, text, notices)


def _refuse_words(names: list[str], columns: list[_Column], words: list[int], rows: int) -> NoReturn:
    wordy = next((place for place in range(len(names)) if words[place]), None)
    if wordy is None:
        raise Refused(f"The table ({_count(rows, 'row')}) has 0 numbers, and at least 1 is needed: all its cells are empty.")
    what = "is a column of text" if len(names) == 1 else f"is one of {len(names)} columns, none of them numeric"
    raise Refused(
        f"“{names[wordy]}” {what} (row {int(np.argmax(columns[wordy].wordy)) + 1:,} says "
        f"“{_short(columns[wordy].example, 20)}”): at least 1 column must hold numbers in half of its cells or more."
    )


def _sample(n: int, noise: Noise) -> np.ndarray:
    """Which `MAX_ROWS` of n usable rows stay: bool `(n,)`."""
    u = np.concatenate(  # (n,); in pieces, because the generator works in many copies
        [noise.skip(at).uniform(min(MAX_ROWS, n - at), (), stream="table").numpy() for at in range(0, n, MAX_ROWS)]
    )
    stay = np.zeros(n, dtype=bool)
    stay[np.argpartition(u, MAX_ROWS - 1)[:MAX_ROWS]] = True
    return stay


def _names(given: list[str], width: int) -> list[str]:
    """Unique names of at most `NAME_LENGTH` characters; x and y, or x1, x2, ..., where the file gives none."""
    names: list[str] = []
    for place in range(width):
        default = "xy"[place] if width == 2 and not given else f"x{place + 1}"
        wanted = (_short(given[place], NAME_LENGTH) if place < len(given) else "") or default
        name, number = wanted, 1
        while name in names:
            number += 1
            name = f"{_short(wanted, NAME_LENGTH - 6)} ({number})"
        names.append(name)
    return names


def _short(text: str, limit: int) -> str:
    """One line of what can be printed, cut to `limit` characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 10 * limit]).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _listed(names: Sequence[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
