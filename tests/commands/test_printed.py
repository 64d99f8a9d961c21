"""How commands print, and what they check before a backend starts."""

import importlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo import catalog
from zoo.cli import COMMANDS, main
from zoo.commands.info import described
from zoo.commands.shared import printed
from zoo.program import waiting
from zoo.store import hub
from zoo.store.manifest import checkpoints
from zoo.version import __version__

pytestmark = pytest.mark.host
ROOT = Path(__file__).parents[2]
BACKENDS = ("keras", "jax", "tensorflow", "torch")
# In a process of its own: the status, and whether a backend was imported.
ALONE = f"""
import sys
from zoo.cli import main
status = 0
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    status = stopped.code
print([x for x in {BACKENDS} if x in sys.modules], file=sys.stderr)
sys.exit(status)
"""


def alone(*args, **options):
    return subprocess.run(
        [sys.executable, "-c", ALONE, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **options,
    )


def in_a_terminal(*args, columns, code="from zoo.cli import main; main()"):
    """Runs `zoo` with its output in a terminal of this width; returns the output."""
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=ROOT,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            read = os.read(ours, 4096)
        except OSError:  # the end, on Linux
            break
        if not read:
            break
        found += read
    os.close(ours)
    assert process.wait() == 0, found
    return re.sub(r"\x1b\[[0-9;]*m", "", found.decode())


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert not stopped.value.code
    assert capsys.readouterr().out == f"zoo {__version__}\n"


@pytest.mark.parametrize("args", [["list"], ["info", "vae.mnist"], ["--help"]])
def test_a_pipe_gets_plain_lines(args, capsys):
    try:
        main(args)
    except SystemExit as stopped:
        assert not stopped.code
    out = capsys.readouterr().out
    assert not set(out) & set("─│╭╮╰╯┃━┏\x1b") and "----" not in out
    assert "..." not in out and "…" not in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_a_usage_error_is_plain_too(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["list", "--jsn"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "--json" in error and not set(error) & set("─│╭╮╰╯")


@pytest.mark.parametrize("columns", [40, 160])
def test_no_name_is_cut_in_a_terminal(columns):
    out = in_a_terminal("list", columns=columns)
    # Every name is whole, on one line of the program's output.
    for name in [*checkpoints(), *hub.NAMES]:
        assert re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", out), name
    assert ("│" in out) == (columns == 160)


def test_a_terminal_shows_what_is_waited_for(capsys):
    code = """
from zoo.program import waiting
with waiting("starting JAX"):
    pass
"""
    out = in_a_terminal(columns=80, code=code)
    assert out.startswith("starting JAX ...\r") and out.endswith(" \r")
    with waiting("starting JAX"):
        pass
    assert capsys.readouterr() == ("", "")


def test_json(capsys):
    main(["list", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in found["checkpoints"]} == set(checkpoints())
    assert {each["name"] for each in found["downloadable"]} == set(hub.NAMES)
    assert {each["name"] for each in found["models"]} == set(catalog.architectures())
    main(["info", "vae.mnist", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 425285 and found["config"]["latent_dim"] == 50
    printed.show_json({"a": np.float32(2), "b": [float("nan"), Path("x")]})
    assert json.loads(capsys.readouterr().out) == {"a": 2.0, "b": [None, "x"]}


def test_info_knows_every_checkpoint_that_list_shows(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    for name in checkpoints():
        assert described(name)["summary"]
    for name, address in hub.NAMES.items():
        assert described(name) == {
            "name": name,
            "address": f"hf://{address}",
            "downloaded": False,
        }


def test_info_knows_every_model_and_configuration_that_list_shows():
    for name in catalog.architectures():
        assert len(described(name)["summary"]) > 10, name
    for name in ("gpt2", "gpt3_175b", "vae_mlp", "transformer_base"):
        assert described(name)["parameters"] > 100_000


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("generate gpt.shakespear_char x", "Did you mean 'gpt.shakespeare_char'?"),
        ("info gpt.shakespear_char", "Did you mean 'gpt.shakespeare_char'?"),
        ("cite gpt.shakespear_char", "Did you mean 'gpt.shakespeare_char'?"),
        ("fill-mask bert_tiny.docs x --top 0", "top must be a whole number from 1"),
        ("sample vae.mnist --out {tmp}", "is a folder; a file to write is needed"),
        ("sample vae.mnist --out {tmp}/a/b.png", "{tmp}/a is a file"),
        ("sample vae.mnist --out - --json", "exclude each other"),
        ("sample vae.mnist --temperature -1", "temperature must be 0 or more"),
        ("translate cyclegan.digits {tmp}/none.png b.png", "none.png"),
        ("evaluate vae.mnist --dataset mnst", "Did you mean 'mnist'?"),
        ("evaluate vae.mnist --dataset mnist --out {tmp}/a", "a folder to write"),
        ("evaluate vae.mnist --dataset mnist --data-dir {tmp}/no", "no file or folder"),
        ("evaluate vae.mnist --dataset mnist --data-dir -", "needs --dataset text"),
        ("convert vae.mnist {tmp}/a", "a folder to write is needed"),
        ("plan gpt2 --device h10", "Unknown device 'h10'"),
        ("plan gpt2 --mesh-data 0", "mesh_data must be a whole number from 1"),
    ],
)
def test_bad_requests_end_before_a_backend_starts(args, message, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("")
    monkeypatch.setattr(
        "zoo.commands.shared.backend.choose", lambda able: pytest.fail()
    )
    with pytest.raises(SystemExit) as stopped:
        main(args.format(tmp=tmp_path).split())
    assert message.format(tmp=tmp_path) in stopped.value.code


def test_a_mistyped_name_fails_without_a_backend():
    before = os.times().children_user
    done = alone("generate", "gpt.shakespear_char", "x")
    assert done.returncode == 1 and "Did you mean" in done.stderr
    assert done.stderr.startswith("[]\n")
    assert os.times().children_user - before < 1  # seconds


def test_what_is_listed_needs_no_backend():
    for args in (["list"], ["info", "vae.mnist"], ["cite", "bert_tiny"]):
        done = alone(*args)
        assert (done.returncode, done.stderr) == (0, "[]\n")


def test_an_interrupt_has_its_status(monkeypatch, capsys):
    def interrupt(config):
        raise KeyboardInterrupt

    command = COMMANDS["list"]
    monkeypatch.setitem(COMMANDS, "list", type(command)(command.config, interrupt))
    monkeypatch.setattr("zoo.commands.shared.backend.choose", lambda able: None)
    with pytest.raises(SystemExit) as stopped:
        main(["list"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "zoo: stopped\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, capsys):
    main(["completion", shell])
    script = capsys.readouterr().out
    for expected in ("fill-mask", "--temperature", "--shard-parameters"):
        assert expected in script


def test_completion_in_bash():
    """Types `zoo gen` and `zoo generate x --temp` and asks bash for the rest."""
    script = f"""
source <({sys.executable} -c 'from zoo.cli import main; main()' completion bash)
for line in "zoo gen" "zoo generate x --temp"; do
    COMP_WORDS=($line); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
    _tyro_zoo; echo "${{COMPREPLY[@]}}"
done
"""
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["generate", "--temperature"], done.stderr


def test_importing_silences_nothing():
    code = "import os; before = dict(os.environ); import zoo"
    code += "; assert dict(os.environ) == before; import recipes"
    code += "; assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    env = {k: x for k, x in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=env)


def test_a_recipe_that_is_run_starts_its_backend_quietly(monkeypatch):
    import recipes

    started = []
    monkeypatch.setattr(
        "zoo.commands.shared.backend.start", lambda: started.append(True)
    )
    for first, expected in (("-m", [True]), ("pytest", [True])):
        monkeypatch.setattr(sys, "argv", [first, "--steps", "3"])
        importlib.reload(recipes)
        assert started == expected


def test_a_users_own_log_level_wins(monkeypatch):
    from zoo.program import quiet

    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    quiet()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_standard_input_is_text(monkeypatch):
    from zoo.commands.shared.arguments import text_or_input

    def given(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return text_or_input("-")

    assert given("é\n\n".encode()) == "é\n"
    assert given(b"a\r\n") == "a"
    with pytest.raises(ValueError, match="must be UTF-8"):
        given(b"\xff")
