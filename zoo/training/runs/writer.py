"""Writes files in the background, while training goes on."""

import threading
from collections.abc import Callable
from types import TracebackType


class BackgroundWriter:
    """Runs one job at a time in a thread of its own.

    A job that fails is not forgotten: the next `submit` or `wait` raises its error. As
    a context manager it waits at the end; if the block has raised an error, a failed
    job is only noted on that error.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failure: tuple[str, Exception] | None = None

    def submit(self, name: str, job: Callable[[], None]) -> None:
        """Starts a job once the one before is done.

        Args:
            name: what the job writes, as the subject of an error message.
            job: a function that touches nothing that training changes.

        Raises:
            OSError: the job before could not write; the message names it.
        """
        self.wait()
        # Not a daemon: a process that ends still writes what it has begun.
        self._thread = threading.Thread(target=self._run, args=(name, job))
        self._thread.start()

    def wait(self) -> None:
        """Waits for the job to end; raises its error."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            (name, error), self._failure = self._failure, None
            if isinstance(error, OSError):
                raise OSError(f"{name} could not be written: {error}") from error
            raise error

    def _run(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self._failure = name, error

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.wait()
            return
        try:
            self.wait()
        except Exception as failure:
            error.add_note(f"And {failure}")
