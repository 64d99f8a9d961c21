"""Seeded random mutations of bytes, JSON values, and lines of TOML and text."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

# Boundaries of integer sizes, signs and number types.
EDGES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]
EDGES += [2**40, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
VALUES: list[Any] = [None, True, False, -1, 0, 1, 3, 513, 10**6, 2**31, 2**63, 2**70]
VALUES += [-(2**40), 0.5, -0.0, 1e400, float("nan"), "", "x", "relu", "é\n", "\ud800"]
VALUES += [
    "../x",
    "/etc/hostname",
    "9" * 4400,
    [],
    [1] * 50,
    [[]],
    [None],
    {},
    {"": {}},
]
VALUES += [{"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}}]
TOML = (
    '1 -1 1.5 inf nan true "x" "" "../x" [] [1] {} {a=1} 1979-05-27 9223372036854775808'
)


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flips, sets, deletes, inserts, moves or truncates at one to eight places."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(found) + 1)
        _FAULTS[rng.randrange(len(_FAULTS))](rng, found, place)
    return bytes(found)


def _flip(rng: random.Random, data: bytearray, place: int) -> None:
    if place < len(data):
        data[place] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray, place: int) -> None:
    data[place : place + 1] = rng.randbytes(1)


def _cut_out(rng: random.Random, data: bytearray, place: int) -> None:
    del data[place : place + rng.choice((1, 2, 4, 8, 100))]


def _put_in(rng: random.Random, data: bytearray, place: int) -> None:
    data[place:place] = rng.randbytes(rng.choice((1, 2, 4, 8)))


def _cut_off(rng: random.Random, data: bytearray, place: int) -> None:
    del data[place:]


def _number(rng: random.Random, data: bytearray, place: int) -> None:
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(EDGES) % (1 << 8 * size)
    data[place : place + size] = number.to_bytes(size, rng.choice(("little", "big")))


def _move(rng: random.Random, data: bytearray, place: int) -> None:
    other, size = rng.randrange(len(data) + 1), rng.randrange(1, 40)
    data[place : place + size] = data[other : other + size]


def _repeat(rng: random.Random, data: bytearray, place: int) -> None:
    data[place:place] = data[place : place + rng.choice((1, 4, 40))] * rng.choice(
        (1, 9)
    )


_FAULTS = (_flip, _flip, _set, _cut_out, _put_in, _cut_off, _number, _move, _repeat)


def of_json(rng: random.Random, data: bytes) -> bytes:
    """Replaces, removes, renames or repeats values; sometimes mutates bytes."""
    if rng.random() < 0.2:
        return of_bytes(rng, data)
    text = json.dumps(of_value(rng, json.loads(data)))
    return text.encode("utf-8", "surrogatepass")


def of_value(rng: random.Random, value: Any) -> Any:
    """Puts one to three faults into a JSON value, in place."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        fault = rng.randrange(5)
        if fault == 0:
            del holder[key]
        elif fault == 1 and isinstance(holder, dict):
            holder[rng.choice(("", "x", "architecture", "config"))] = holder.pop(key)
        elif fault == 2:
            other, place = rng.choice(places)
            if not _within(holder[key], other):
                other[place] = holder[key]
        else:
            holder[key] = rng.choice(VALUES)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, part in inner:
        yield value, key
        yield from _places(part)


def _within(value: Any, holder: Any) -> bool:
    """Returns whether `value` contains `holder`, which would make it infinite."""
    parts = value.values() if isinstance(value, dict) else value
    inner = isinstance(value, dict | list)
    return value is holder or (inner and any(_within(x, holder) for x in parts))


def of_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Mutates the header's values, its length, or any byte."""
    if rng.random() < 0.3:
        return of_bytes(rng, data)
    length = int.from_bytes(data[:8], "little")
    header = of_json(rng, data[8 : 8 + length])
    size = rng.choice(EDGES) if rng.random() < 0.05 else len(header)
    return size.to_bytes(8, "little") + header + data[8 + length :]


def of_toml(rng: random.Random, data: bytes) -> bytes:
    """Replaces values, removes or inserts lines; sometimes mutates bytes."""
    lines = data.decode().split("\n")
    place, fault = rng.randrange(len(lines)), rng.randrange(5)
    if fault == 0:
        return of_bytes(rng, data)
    if fault == 1:
        del lines[place]
    elif fault == 2:
        extra = ("[[files]]", "[files]", "[evaluation]", "files = 3", "x = 1")
        lines.insert(place, rng.choice(extra))
    elif "=" in lines[place]:
        lines[place] = f"{lines[place].split('=')[0]}= {rng.choice(TOML)}"
    return "\n".join(lines).encode()


def of_text(rng: random.Random, data: bytes) -> bytes:
    """Removes, repeats, joins or replaces lines; sometimes mutates bytes."""
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    lines = data.split(b"\n")
    place, fault = rng.randrange(len(lines)), rng.randrange(5)
    if fault == 0:
        del lines[place]
    elif fault == 1:
        lines.insert(place, rng.choice(lines))
    elif fault == 2:
        lines[place] = lines[place].replace(b"\t", rng.choice((b" ", b"\t\t", b"")))
    elif fault == 3:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) + data
    else:
        odd = (b"", b"\t", b" ", b"\x00", b"\xff", b"\r", b"\xed\xa0\x80", b"#" * 200)
        lines[place] = rng.choice(odd)
    return b"\n".join(lines)
