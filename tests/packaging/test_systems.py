"""zoo is imported, and its recipes start, where Python lacks what only Unix has.

This stands in for Windows: the modules, functions and signals that it lacks are hidden.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.host

MODULES = (
    *("crypt", "curses", "fcntl", "grp", "nis", "posix", "pty", "pwd", "readline"),
    *("resource", "spwd", "syslog", "termios", "tty"),
)
OS = (
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC"),
    *("WNOHANG", "chown", "confstr", "ctermid", "fchdir", "fchown", "fork", "forkpty"),
    *("getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp"),
    *("getpriority", "getresuid", "getsid", "getuid", "killpg", "lchown", "lockf"),
    *("mkfifo", "mknod", "nice", "openpty", "posix_fadvise", "posix_fallocate"),
    *("posix_spawn", "pread", "pwrite", "register_at_fork", "sched_getaffinity"),
    *("sched_setaffinity", "sendfile", "setpgid", "setpriority", "setsid", "setuid"),
    *("statvfs", "sync", "sysconf", "tcgetpgrp", "ttyname", "uname", "wait", "wait3"),
)
SIGNALS = (
    *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT"),
    *("SIGSTOP", "SIGTSTP", "SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_sigmask"),
    *("setitimer", "sigwait"),
)
HIDDEN = {"os": OS, "signal": SIGNALS}

# Imports every module and prints the help of every recipe; then prints, as JSON, how
# many of each, and the backends that were missing.
START = """
import builtins, contextlib, importlib, io, json, os, pkgutil, runpy, signal, sys
# Other projects know their systems: they are imported with everything in place.
import grain, huggingface_hub, keras, matplotlib.pyplot, scipy.stats, sklearn.manifold
import tyro
# Nor does the test need the other backends.
others = {"tensorflow", "jax", "torch"} - {keras.config.backend()}
modules, names = json.loads(sys.argv[1])
for module, attributes in names.items():
    for name in attributes:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)

def our_import(name, globals=None, *args, **options):
    importer = (globals or {}).get("__name__", "")
    if importer.split(".")[0] in ("zoo", "recipes", "__main__"):
        if name in modules:
            raise ImportError(f"{importer} imports {name}, which Windows lacks")
        if (backend := name.split(".")[0]) in others:
            raise ModuleNotFoundError(name, name=backend)
    return real_import(name, globals, *args, **options)

real_import, builtins.__import__ = builtins.__import__, our_import
import zoo, recipes
absent, count = set(), 0
for found in pkgutil.walk_packages(zoo.__path__, "zoo."):
    try:
        importlib.import_module(found.name)
        count += 1
    except ModuleNotFoundError as error:
        absent.add(error.name)
helped = []
for found in pkgutil.iter_modules(recipes.__path__):
    if found.name.startswith("_"):
        continue
    sys.argv = [found.name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            runpy.run_module(f"recipes.{found.name}", run_name="__main__")
        except SystemExit as end:
            assert not end.code, end.code
    assert shown.getvalue().startswith("usage"), shown.getvalue()
    helped.append(found.name)
import zoo.files.locks, zoo.engine.host_memory
assert zoo.files.locks.fcntl is None and zoo.engine.host_memory.peak_bytes() is None
print(json.dumps([count, helped, sorted(absent)]))
"""


def test_everything_starts_without_what_only_unix_has():
    done = subprocess.run(
        [sys.executable, "-c", START, json.dumps([MODULES, HIDDEN])],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert not done.returncode, done.stderr
    count, helped, absent = json.loads(done.stdout.splitlines()[-1])
    backends = {"tensorflow", "jax", "torch"}
    assert {*absent} == backends - {os.environ.get("KERAS_BACKEND", "tensorflow")}
    assert count > 300
    recipes = ROOT.glob("recipes/[!_]*.py")
    assert sorted(helped) == sorted(file.stem for file in recipes)


@pytest.mark.parametrize("folder", ["zoo", "recipes"])
def test_no_code_asks_unconditionally_for_what_only_unix_has(folder):
    """Functions too; `getattr`, or an import that may fail, is the way to ask."""
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        tried = {
            node
            for each in ast.walk(tree)
            if isinstance(each, ast.Try)
            for inner in each.body
            for node in ast.walk(inner)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.attr not in HIDDEN.get(node.value.id, ()), (path, node.attr)
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            if node not in tried:
                assert not {*names} & {*MODULES}, (path, names)
