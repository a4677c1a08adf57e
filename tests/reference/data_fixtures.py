"""Makes tests/fixtures/data: files of rows as pyarrow writes them, and the rows.

    python data_fixtures.py              write tests/fixtures/data anew
    python data_fixtures.py --out DIR    write DIR/data instead
    python data_fixtures.py --check      make them in a temporary folder and compare with
                                         the committed ones

A file NAME.EXT or NAME-HOW.EXT must be read as the rows of NAME.jsonl. The texts mean nothing.
"""

import argparse
import datetime
import decimal
import json
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from compare_folders import differences

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def chat():
    """Rows as chat data sets on hubs have them, with every kind of nothing."""
    words = "eins zwei drei vier fünf sechs 七 八".split()

    def message(n):
        if n % 11 == 7:
            return None
        content = None if n % 5 == 4 else " ".join(words[: n % 8]) * (n % 3)
        return {"role": ["user", "assistant"][n % 2], "content": content}

    rows = []
    for n in range(24):
        messages = [message(n + m) for m in range(n % 4)]
        tags = [None, [], ["a", None, words[n % 8]]][n % 3]
        rows.append({
            "id": f"{n:04}",
            "messages": None if n == 5 else messages,
            "tags": tags,
            "source": ["web", "book", None][n % 3],
            "score": None if n % 6 == 0 else n / 4,
            "turns": n,
        })
    return rows


def chat_table(rows, string=pa.string(), source=None):
    message = pa.struct([("role", string), ("content", string)])
    return pa.Table.from_pylist(rows, pa.schema([
        pa.field("id", string, nullable=False),
        ("messages", pa.list_(message)),
        ("tags", pa.list_(string)),
        ("source", source or string),
        ("score", pa.float64()),
        pa.field("turns", pa.int64(), nullable=False),
    ]))


def chat_files(folder, rows):
    table = chat_table(rows)

    def write(how, table=table, **options):
        pq.write_table(table, folder / f"chat-{how}.parquet", **options)

    for compression in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
        write(compression, compression=compression)
    write("groups", row_group_size=5)
    write("pages", data_page_size=64, write_batch_size=2, dictionary_pagesize_limit=64)
    write("plain", use_dictionary=False, data_page_version="2.0", compression="zstd")
    write("checksums", write_page_checksum=True)
    columns = ["id", "messages.list.element.role", "messages.list.element.content"]
    encodings = ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]
    delta = dict(zip(columns, encodings), turns="DELTA_BINARY_PACKED", score="BYTE_STREAM_SPLIT")
    write("delta", use_dictionary=False, column_encoding=delta)
    write("indexed", write_page_index=True, store_schema=False)
    large = chat_table(rows, pa.large_string())
    write("large", large.cast(pa.schema([
        field.with_type(pa.large_list(field.type.value_type)) if pa.types.is_list(field.type) else field
        for field in large.schema
    ])))
    write("dictionary", chat_table(rows, source=pa.dictionary(pa.int8(), pa.string())))
    write("older", use_compliant_nested_type=False, version="1.0")

    write_rows(folder / "chat.jsonl", rows)
    text = (folder / "chat.jsonl").read_bytes()
    for name in ["gz", "zst"]:
        # Two parts, with a row on both.
        with open(folder / f"chat-lines.jsonl.{name}", "wb") as out:
            for part in [text[:1001], text[1001:]]:
                sink = pa.BufferOutputStream()
                codec = {"gz": "gzip", "zst": "zstd"}[name]
                with pa.CompressedOutputStream(sink, codec) as stream:
                    stream.write(part)
                out.write(sink.getvalue())
    (folder / "chat-array.json").write_text(json.dumps(rows, indent=2))
    (folder / "chat-marked.json").write_text("\ufeff" + json.dumps(rows, ensure_ascii=False))


def iso(value):
    """Dates and times by ISO 8601, UTC as Z; decimals as they are printed."""
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    raise TypeError(value)


def types():
    """A column of each type that JSON has a form for."""
    moment = datetime.datetime(2024, 2, 29, 12, 0, 1)
    old = datetime.datetime(1899, 12, 31, 23, 59, 59, 250000)
    utc = datetime.timezone.utc
    columns = {
        "bool": (pa.bool_(), [True, None, False]),
        "int8": (pa.int8(), [-128, None, 127]),
        "uint8": (pa.uint8(), [255, 0, None]),
        "int16": (pa.int16(), [-(2**15), None, 1]),
        "uint16": (pa.uint16(), [2**16 - 1, None, 1]),
        "uint32": (pa.uint32(), [2**32 - 1, None, 1]),
        "int64": (pa.int64(), [-(2**63), None, 2**63 - 1]),
        "uint64": (pa.uint64(), [2**64 - 1, None, 1]),
        "float16": (pa.float16(), [1.5, None, -65504.0]),
        "float32": (pa.float32(), [0.25, None, -3.0]),
        "float64": (pa.float64(), [0.1, None, 1e300]),
        "not_finite": (pa.float64(), [float("nan"), float("inf"), None]),
        "decimal": (pa.decimal128(9, 2), [decimal.Decimal("-123.45"), None, decimal.Decimal("0.07")]),
        "decimal_wide": (pa.decimal256(50, 3), [decimal.Decimal("-0.001"), None, decimal.Decimal("7.000")]),
        "date": (pa.date32(), [moment.date(), None, old.date()]),
        "time": (pa.time64("us"), [moment.time(), None, old.time()]),
        "local": (pa.timestamp("us"), [moment, None, old]),
        "utc": (pa.timestamp("ms", "UTC"), [moment.replace(tzinfo=utc), None, None]),
        "nanos": (pa.timestamp("ns"), [moment, None, None]),
        "binary": (pa.binary(), [b"text", None, "é".encode()]),
        "fixed": (pa.binary(3), [b"abc", None, b"xyz"]),
        "large": (pa.large_string(), ["a", None, ""]),
        "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]),
        "nothing": (pa.null(), [None, None, None]),
        "lists": (pa.list_(pa.list_(pa.string())), [[["a"], [], None, ["b", None]], None, []]),
        "fixed_list": (pa.list_(pa.int64(), 2), [[1, 2], [3, None], [5, 6]]),
        "struct": (
            pa.struct([("a", pa.struct([("b", pa.int64())])), ("c", pa.list_(pa.bool_()))]),
            [{"a": {"b": 1}, "c": [True]}, None, {"a": None, "c": None}],
        ),
        "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1), ("b", None)], None, []]),
    }
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()])
    rows = [{name: values[n] for name, (_, values) in columns.items()} for n in range(3)]
    return pa.Table.from_pylist(rows, schema), rows


def types_files(folder):
    table, rows = types()
    pq.write_table(table, folder / "types.parquet")
    pq.write_table(table, folder / "types-older.parquet", version="1.0")
    for row in rows:
        row["map"] = None if row["map"] is None else dict(row["map"])
        row["not_finite"] = None
        for name in ["binary", "fixed"]:
            row[name] = row[name] and row[name].decode()
    write_rows(folder / "types.jsonl", rows)
    # Timestamps as they were once written, without a zone.
    table = table.select(["local", "nanos"])
    pq.write_table(table, folder / "int96.parquet", use_deprecated_int96_timestamps=True)
    rows = [{name: row[name] for name in table.column_names} for row in rows]
    write_rows(folder / "int96.jsonl", rows, lambda at: iso(at) + "000" * bool(at.microsecond))


def write_rows(path, rows, default=iso):
    lines = [json.dumps(row, default=default, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines))


def write(folder):
    folder.mkdir(parents=True)
    chat_files(folder, chat())
    types_files(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIXTURES)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        with tempfile.TemporaryDirectory() as made:
            write(Path(made) / "data")
            found = differences(Path(made), FIXTURES)
        print("\n".join(found) or "no differences")
        sys.exit(bool(found))
    folder = arguments.out / "data"
    if folder.exists():
        shutil.rmtree(folder)
    write(folder)


if __name__ == "__main__":
    main()
