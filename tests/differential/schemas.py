"""Holds the reader of schemas against Python's json.loads, which skops reads them with.

Genuine schemas are changed at random. What json.loads takes must be read, and lead to the same names as
what json.dumps writes of it (each key once, all else escaped); what json.loads refuses must be refused.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
LARGEST = 25_000  # bytes of a schema that is changed

TEXTS = [rb'"\ud83d"', rb'"\ud83d\ude00"', rb'"\ude00\ud83d"', rb'"\ud83d\u0041"', rb'"\ud83d\n"',
         rb'"\ud83d\ud83d\ude00"', b'"\xed\xa0\xbd"', b'"\xed\xb8\x80\xed\xa0\xbd"', b'"\xc3\xa4"',
         b'"\xf0\x9f\x98\x80"', rb'"\u0000"', rb'"\/\b\f\n\r\t\"\\"', b'"\x7f"', b'""', b'"' + b"x" * 300 + b'"']
BAD_TEXTS = [rb'"\ud83"', rb'"\u12g4"', rb'"\ud83d\u12g4"', rb'"\x41"', b'"\n"', b'"\x00"', b'"\xff"',
             b'"\xc0\x80"', b'"\xe0\x80\x80"', b'"\xf4\x90\x80\x80"', b'"\xed\xa0"', b"'a'", b'"a', rb'"\U0041"',
             rb'"\u 123"', rb'"\u+123"']
NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e-999", b"1" * 4300, b"-" + b"9" * 4300,
           b"1" * 5000 + b".5", b"0.0", b"-0", b"1E+5", b"123456789012345678901234567890", b"null", b"true"]
BAD_NUMBERS = [b"1" * 4301, b"-" + b"9" * 4301, b"01", b"-", b"+1", b"1.", b".5", b"1e", b"1e+", b"0x1", b"1_0",
               b"-NaN", b"-Inf", b"nan", b"infinity", b"NULL", b"tru", b"nulll", b"1 2", b"--1", b"\xd9\xa1"]
BYTES = [b"\x00", b"\xff", b"\\", b'"', b",", b":", b"{", b"}", b"[", b"]", b" ", b"\n", b"\x0b", b"\xa0",
         b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xed\xa0\xbd", b"/**/", b"//", b"0", b"-", b"e", b"."]
ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "latin-1"]
MEMBER = re.compile(rb'"(?:[^"\\]|\\.)*": (?:"(?:[^"\\]|\\.)*"|[0-9]+|true|false|null)(?=,|\n)')


def genuine():
    folders = [REPOSITORY / "tests/data", REPOSITORY.parent / "shared/corpus/skops"]
    found = {}
    for folder in folders:
        for path in sorted(folder.glob("*.skops")):
            with zipfile.ZipFile(path) as archive:
                schema = archive.read("schema.json")
            if len(schema) <= LARGEST:
                found[schema] = path.name
    return sorted(found)


def replaced(data, pattern, by, chance):
    """One of the places that match is put something else."""
    places = list(re.finditer(pattern, data))
    place = chance.choice(places)
    return data[:place.start()] + by + data[place.end():]


def another_value(data, chance):
    value = chance.choice(TEXTS * 2 + NUMBERS * 2 + BAD_TEXTS + BAD_NUMBERS)
    return replaced(data, rb'(?<=": )(?:"(?:[^"\\]|\\.)*"|[0-9]+|true|false|null)', value, chance)


def another_key(data, chance):
    return replaced(data, rb'"(?:[^"\\]|\\.)*"(?=: )', chance.choice(TEXTS * 3 + BAD_TEXTS), chance)


def a_key_twice(data, chance):
    """A value or a whole node once more, under a key that is there already, or with another value."""
    lines = data.split(b"\n")
    kept = [i for i, line in enumerate(lines) if line.rstrip().endswith(b"{") and b": " in line]
    if chance.random() < 0.5 and kept:
        first = chance.choice(kept)
        indent = len(lines[first]) - len(lines[first].lstrip())
        last = next(i for i in range(first + 1, len(lines))
                    if len(lines[i]) - len(lines[i].lstrip()) == indent)
        node = b"\n".join(lines[first:last + 1]).rstrip(b",")
        other = node if chance.random() < 0.3 else lines[first].split(b": ")[0] + b": null"
        both = [node, other] if chance.random() < 0.5 else [other, node]
        return b"\n".join([*lines[:first], b",\n".join(both) + (b"," if lines[last].endswith(b",") else b""),
                           *lines[last + 1:]])
    place = chance.choice(list(MEMBER.finditer(data)))
    key = chance.choice(list(MEMBER.finditer(data))).group().split(b": ")[0]
    value = chance.choice([place.group().split(b": ", 1)[1], b"null", b'"file"', b"[]", b"{}", b"7"])
    return data[:place.end()] + b", " + key + b": " + value + data[place.end():]


def other_bytes(data, chance):
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        at = chance.randrange(len(data))
        cut = chance.choice([0, 0, 1, 2, 50])
        data = data[:at] + chance.choice([*BYTES, b"", bytes([chance.randrange(256)])]) + data[at + cut:]
    return data


def another_encoding(data, chance):
    if chance.random() < 0.5:
        data = another_value(data, chance)
    try:
        data = data.decode("utf-8", "surrogatepass").encode(chance.choice(ENCODINGS), "surrogatepass")
    except UnicodeError:
        return data
    kind = chance.random()
    if kind < 0.1:
        return data[:-chance.randrange(1, 4)]
    if kind < 0.2:
        return data + chance.choice([b"\0", b"\xd8\x3d", b"\x3d\xd8", b"\x11\x00\x00\x00", b"\x00\x00\x00\x20"])
    return other_bytes(data, chance) if kind < 0.3 else data


def an_end(data, chance):
    around = [b"", b" ", b"\n\t\r ", b"\x0c", b"\x00", b"\xef\xbb\xbf", b"{}", b",", b"\xff\xfe", b"]"]
    if chance.random() < 0.2:
        return data[:chance.randrange(len(data))]
    return chance.choice(around) + data + chance.choice(around)


def short(data, chance):
    """Texts of a few bytes, whose encoding is told by less."""
    del data
    return bytes(chance.choice(b'\x00\x00 [{"1]}nN-\xef\xbb\xbf\xfe\xff') for _ in range(chance.randrange(7)))


CHANGES = [another_value, another_value, another_key, a_key_twice, a_key_twice, other_bytes, another_encoding,
           an_end, short]


def loads(data):
    """What json.dumps writes of what json.loads reads; nothing when that refuses it."""
    try:
        return json.dumps(json.loads(data)).encode()
    except ValueError:  # UnicodeDecodeError and JSONDecodeError among them
        return None


def show(program, schemas):
    given = b"".join(struct.pack("<L", len(schema)) + schema for schema in schemas)
    done = subprocess.run([program], input=given, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode(errors="replace").splitlines()
    assert len(lines) == len(schemas), f"{len(lines)} lines for {len(schemas)} schemas"
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", required=True, help="the program show_schemas")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    sources = genuine()
    made = []
    for _ in range(options.count):
        change = chance.choice(CHANGES)
        made.append((change.__name__, change(chance.choice(sources), chance)))
    wanted = [loads(data) for _, data in made]
    found = show(options.show, [data for _, data in made])
    same = iter(show(options.show, [data for data in wanted if data is not None]))
    counts = collections.Counter()
    differences = 0
    for (change, data), canonical, line in zip(made, wanted, found):
        taken = line.startswith("names ")
        counts[f"{change}: {'taken' if canonical is not None else 'refused'}"] += 1
        expected = "5 " if canonical is None else next(same)
        if (canonical is None) == taken or not line.startswith(expected):
            differences += 1
            if differences <= 10:
                print(f"{change}: {line!r} instead of {expected!r} for {data[:300]!r}... ({len(data)} bytes)")
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")
    taken = sum(data is not None for data in wanted)
    print(f"{options.count} schemas made of {len(sources)}: {taken} taken, {options.count - taken} refused, "
          f"{differences} differences")
    few = [change.__name__ for change in CHANGES if not counts[f"{change.__name__}: taken"]]
    return 1 if differences or few or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
