"""Whatever a parser raises, a reader's error names the file and says what to do."""

import json
import struct
import zipfile

import pytest

from zoo.files.damaged import LONGEST, naming, reading

pytestmark = pytest.mark.host


def nested():
    json.loads("[" * 100_000)


def panic():
    """Like pyo3's exception, whose class can't be imported."""
    raise type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("x")


@pytest.mark.parametrize(
    ("parse", "cause"),
    [
        (lambda: {}["config"], "KeyError: 'config'"),
        (lambda: abs("x"), "TypeError: bad operand"),
        (lambda: [].pop(), "IndexError: pop from empty list"),
        (lambda: struct.unpack("<Q", b""), "error: unpack requires"),
        (lambda: bytes(2**62), "more memory than there is"),
        (lambda: b"\xff".decode("utf-8"), "codec can't decode"),
        (lambda: json.loads("{"), "Expecting property name"),
        (lambda: zipfile.ZipFile(__file__), "BadZipFile: File is not a zip file"),
        (nested, "nested too deeply"),
        (panic, "PanicException: x"),
    ],
)
def test_all_of_them_are_one(parse, cause, tmp_path):
    file = tmp_path / "w.bin"
    with pytest.raises(ValueError) as caught, reading(file, "weights", "Get it anew."):
        parse()
    said = str(caught.value)
    assert said.startswith(f"{file} is damaged: expected weights (")
    assert cause in said and said.endswith("). Get it anew.")
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(
    "error",
    [ValueError("w.bin is of 3 axes"), FileNotFoundError(2, "No such file", "w.bin")],
)
def test_what_names_the_file_is_left(error):
    with pytest.raises(type(error)) as caught, reading("w.bin", "weights"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_damage(error):
    with pytest.raises(error), reading("w.bin", "weights"):
        raise error


def test_a_cause_is_short_and_can_be_printed():
    with pytest.raises(ValueError) as caught, reading("w.bin", "weights"):
        raise ValueError("\ud800\n" + 5000 * "x")
    said = str(caught.value)
    assert said.encode("utf-8") and "\n" not in said and len(said) < LONGEST + 100


@pytest.mark.parametrize("said", ["3 layers", "w.bin has 3 layers"])
def test_what_is_right_and_of_no_use_names_the_file_once(said):
    with pytest.raises(ValueError) as caught, naming("w.bin"):
        raise ValueError(said)
    assert str(caught.value) in ("w.bin: 3 layers", "w.bin has 3 layers")
