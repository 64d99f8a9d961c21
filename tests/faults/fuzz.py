"""Fuzzes every reader of files: each file is read, or refused with a clear error.

    python -m tests.faults.fuzz --mutations 2000000 --seconds 3000 --processes 2

Each reader runs in a process of its own, under memory limits. A mutated file must be
read, or a ValueError or OSError must name it, within ten CPU seconds; anything else is
listed with the seed that reproduces it (--only READER --from SEED --mutations 1).
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SLOWEST = 10  # CPU seconds per file
ADDRESS_SPACE = 12 << 30  # bytes; TensorFlow and torch reserve a lot and use little


@dataclass
class Count:
    """The outcomes of one reader's files.

    Attributes:
        tries: number of mutated files.
        read: number that were read.
        refused: number that were refused with a clear error.
        others: any other outcomes, and the first seed of each.
        slowest: CPU seconds of the slowest file.
        peak: peak megabytes of the process beyond those after the intact file.
    """

    tries: int = 0
    read: int = 0
    refused: int = 0
    others: dict[str, list[Any]] = field(default_factory=dict)
    slowest: float = 0.0
    peak: float = 0.0

    def note(self, what: str, seed: int, example: str = "") -> None:
        """Records an outcome that must not happen."""
        self.others.setdefault(what, [0, f"seed {seed}: {example}"])[0] += 1


class Hang(BaseException):
    """A file took too long."""


def _hang(*_: Any) -> None:
    raise Hang


def mutated(reader: Any, whole: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """Returns the file that a seed mutates, and its mutated bytes."""
    rng = random.Random(seed)
    name = rng.choice(sorted(whole))
    return name, reader.mutate(rng, whole[name])


def run(
    name: str, seed_folder: Path, mutations: int, seconds: float, first: int = 0
) -> Count:
    """Tries a reader on mutated files in this process."""
    from tests.faults.readers import READERS

    reader, count = READERS[name], Count()
    with tempfile.TemporaryDirectory(dir=_memory()) as work:
        place = Path(work) / Path(reader.place).name
        source = seed_folder / reader.place
        (shutil.copytree if source.is_dir() else shutil.copy)(source, place)
        files = {x: place / x for x in reader.files} or {place.name: place}
        whole = {x: file.read_bytes() for x, file in files.items()}
        warnings.simplefilter("ignore")
        _try(count, reader, place, 0)  # excludes what loads at first use
        started, before = time.monotonic(), _peak()
        count = Count()
        for seed in range(first, first + mutations):
            if time.monotonic() - started > seconds:
                break
            try:
                changed, data = mutated(reader, whole, seed)
            except (RecursionError, ValueError):  # a mutation that leaves no bytes
                continue
            files[changed].write_bytes(data)
            _try(count, reader, place, seed)
            if len(files) > 1:
                files[changed].write_bytes(whole[changed])
            count.peak = (_peak() - before) / 1024
        return count


def _try(count: Count, reader: Any, place: Path, seed: int) -> None:
    count.tries += 1
    signal.signal(signal.SIGPROF, _hang)
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    started = time.process_time()
    try:
        reader.read(place)
        count.read += 1
    except (KeyboardInterrupt, SystemExit):
        raise
    except Hang:
        count.note(f"more than {SLOWEST} CPU seconds", seed)
    except BaseException as error:
        if _in_words(error, place):
            count.refused += 1
        else:
            count.note(_kind(error), seed, ascii(str(error))[:200])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        count.slowest = max(count.slowest, time.process_time() - started)


def _in_words(error: BaseException, place: Path) -> bool:
    """Returns whether an error has the right class and names the file."""
    right = isinstance(error, ValueError | OSError)
    right = right and not isinstance(error, UnicodeError)
    text = str(error)
    return right and str(place) in text and text.isprintable()


def _kind(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/zoo/" in frame.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}"


def _peak() -> int:
    """Returns this process's peak memory in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _memory() -> str | None:
    """Returns a folder in memory, if the system has one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _process(target: Any, *values: Any) -> None:
    """Runs in a reader's own process; writes its count to a file as JSON."""
    out, *rest = values
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # some libraries print
    Path(out).write_text(json.dumps(asdict(target(*rest))))


def campaign(
    names: list[str],
    seed_folder: Path,
    mutations: int,
    seconds: float,
    processes: int = 1,
    first: int = 0,
) -> dict[str, Count]:
    """Tries readers, each in a forked process; returns counts by name.

    Readers that finish early leave their time to slow ones.
    """
    context = multiprocessing.get_context("fork")
    end = time.monotonic() + seconds
    left, waiting = mutations, list(names)
    running: dict[str, Any] = {}
    found: dict[str, Count] = {}
    with tempfile.TemporaryDirectory() as outs:
        while waiting or running:
            while waiting and len(running) < processes:
                name = waiting.pop(0)
                shares = len(waiting) + 1
                span = (end - time.monotonic()) * processes / shares
                out = Path(outs) / f"{len(found) + len(running)}.{len(waiting)}"
                part = (name, seed_folder, max(1, left // shares), max(span, 1), first)
                process = context.Process(target=_process, args=(run, out, *part))
                process.start()
                running[name] = process, out, time.monotonic() + max(span, 1) + 60
            for name, (process, out, late) in list(running.items()):
                process.join(0.05)
                if process.exitcode is None and time.monotonic() < late:
                    continue
                if process.exitcode is None:
                    process.kill()
                    process.join()
                if process.exitcode == 0 and out.is_file():
                    found[name] = Count(**json.loads(out.read_text()))
                else:
                    found[name] = Count()
                    found[name].note(f"the process ended with {process.exitcode}", -1)
                left -= found[name].tries
                del running[name]
                print(_row(name, found[name]), flush=True)
    return found


WIDTHS = (24, 10, 10, 10, 8, 10, 8)
HEAD = ("reader", "tries", "read", "refused", "others", "slowest s", "peak MB")


def _row(name: str, count: Count) -> str:
    others = sum(number for number, _ in count.others.values())
    cells = (
        name,
        f"{count.tries:,}",
        f"{count.read:,}",
        f"{count.refused:,}",
        f"{others:,}",
        f"{count.slowest:.2f}",
        f"{count.peak:.0f}",
    )
    return " ".join(x.ljust(width) for x, width in zip(cells, WIDTHS, strict=True))


def total(found: dict[str, Count]) -> Count:
    """Sums the counts of all readers."""
    counts = found.values()
    others = {
        f"{name}: {what}": noted
        for name, count in found.items()
        for what, noted in count.others.items()
    }
    return Count(
        sum(count.tries for count in counts),
        sum(count.read for count in counts),
        sum(count.refused for count in counts),
        others,
        max(count.slowest for count in counts),
        max(count.peak for count in counts),
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of readers; see --list")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed")
    parser.add_argument("--list", action="store_true", help="print readers' names")
    args = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from tests.faults import seeds
    from tests.faults.readers import READERS

    if args.list:
        sys.exit("\n".join(READERS))
    if unknown := set(args.only or ()) - set(READERS):
        parser.error(f"no such readers: {', '.join(sorted(unknown))}; see --list")
    with tempfile.TemporaryDirectory() as folder:
        seeds.make(Path(folder) / "seeds")
        print(" ".join(x.ljust(w) for x, w in zip(HEAD, WIDTHS, strict=True)))
        names = [name for name in READERS if not args.only or name in args.only]
        found = campaign(
            names,
            Path(folder) / "seeds",
            args.mutations,
            args.seconds,
            args.processes,
            args.first,
        )
    print(_row("all", summed := total(found)))
    for what, (number, example) in summed.others.items():
        print(f"{number} x {what} ({example})")
    sys.exit(bool(summed.others))


if __name__ == "__main__":
    main()
