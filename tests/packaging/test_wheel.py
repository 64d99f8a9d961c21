"""What is built, and what a user gets who installs it without the checkout."""

import email
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import keras
import pytest
from PIL import Image

import zoo
from zoo.store.manifest import checkpoints

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BUILD = (
    "import sys; from setuptools import build_meta; print(build_meta.{}(sys.argv[1]))"
)
FOLDERS = ("zoo", "recipes", "pretrained", "tests", "docs", "benchmarks")
LEFT = shutil.ignore_patterns("__pycache__", ".*")


def built(hook: str, source: Path, out: Path) -> Path:
    """Builds as pip and build do, with the setuptools of this environment."""
    args = [sys.executable, "-c", BUILD.format(hook), str(out)]
    done = subprocess.run(args, cwd=source, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The repository's files; to build in place would leave a folder there."""
    copy = tmp_path_factory.mktemp("source") / "zoo"

    copy.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
        elif path.name in FOLDERS:
            shutil.copytree(path, copy / path.name, ignore=LEFT)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    return built("build_wheel", source, tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> dict[str, str]:
    """The hash of every file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
        }


@pytest.mark.host
def test_the_wheel_holds_the_package_recipes_and_checkpoints(wheel):
    expected = {
        Path("zoo", file.relative_to(ROOT / "zoo" if folder == "zoo" else ROOT)): file
        for folder in ("zoo", "recipes", "pretrained")
        for file in (ROOT / folder).rglob("[!.]*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    said = contents(wheel)
    carried = {name: x for name, x in said.items() if name.startswith("zoo/")}
    assert carried == {
        name.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in expected.items()
    }
    others = {name.partition("/")[0] for name in said.keys() - carried.keys()}
    assert others == {f"keras_zoo-{zoo.__version__}.dist-info"}
    for name in checkpoints():
        assert f"zoo/pretrained/{name}/manifest.toml" in said
    assert wheel.stat().st_size < 25e6


@pytest.mark.host
def test_the_wheel_says_what_it_is(wheel):
    folder = f"keras_zoo-{zoo.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        said = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        points = archive.read(f"{folder}/entry_points.txt").decode()
        assert archive.read(f"{folder}/licenses/LICENSE")
    assert said["Name"] == "keras-zoo"
    assert said["Version"] == zoo.__version__
    assert said["License-Expression"] == "Apache-2.0"
    assert {*said.get_all("Provides-Extra")} == {*PROJECT["optional-dependencies"]}
    assert "zoo = zoo.cli:main" in points
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.host
def test_the_source_distribution_builds_the_same_wheel(source, wheel, tmp_path):
    file = built("build_sdist", source, tmp_path)
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / file.name.removesuffix(".tar.gz")
    for name in ("constraints.txt", "CHANGELOG.md", "tests/packaging/test_wheel.py"):
        assert (unpacked / name).is_file(), name
    (tmp_path / "out").mkdir()
    assert contents(built("build_wheel", unpacked, tmp_path / "out")) == contents(wheel)


def environment(folder: Path, wheel: Path, backend: str) -> Path:
    """A virtual environment with a wheel of zoo, its dependencies and one backend.

    The dependencies are links to those of this environment.
    """
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True
    )
    python = folder / "bin" / "python"
    here = Path(sysconfig.get_path("purelib"))
    place = sysconfig.get_path("purelib", vars={"base": str(folder)})
    absent = ("zoo", "keras_zoo", "__editable__", "tests", "recipes", "distutils-")
    absent += tuple({"tensorflow", "jax", "torch"} - {backend})
    for path in here.iterdir():
        if not path.name.startswith(absent) and path.suffix != ".pth":
            (Path(place) / path.name).symlink_to(path)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    # On the path, a checkout that was built in place looks like an installation.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, env=env)
    return python


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_a_fresh_environment_needs_no_checkout(wheel, tmp_path):
    backend = keras.config.backend()
    python = environment(tmp_path / "environment", wheel, backend)
    (tmp_path / "empty").mkdir()
    kept = ("PATH", "LANG", "OMP_NUM_THREADS", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"HOME": str(tmp_path), "ZOO_OFFLINE": "1"}

    def run(*args: str, **more: str) -> str:
        """Runs a command in an empty folder; no backend is named by default."""
        done = subprocess.run(
            [str(python), *args] if args[0] == "-m" else args,
            capture_output=True,
            text=True,
            cwd=tmp_path / "empty",
            env=env | more,
        )
        assert not done.returncode, (args, done.stdout, done.stderr)
        print(f"$ {' '.join(args)}\n{done.stdout}")
        assert str(ROOT) not in done.stdout + done.stderr
        return done.stdout

    program = str(python.with_name("zoo"))
    listed = run(program, "list", COLUMNS="200")
    assert all(name in listed for name in checkpoints())
    told = run(program, "generate", "gpt.shakespeare_char", "ROMEO:", "--seed", "1")
    assert told.startswith("ROMEO:")
    told = run(program, "fill-mask", "bert_tiny.docs", "A [MASK] of bytes.")
    assert len(told.splitlines()) > 1
    run(program, "sample", "vae.mnist", "--count", "4", "--out", "digits.png")
    Image.new("L", (32, 32), 255).save(tmp_path / "empty" / "white.png")
    run(program, "translate", "cyclegan.digits", "white.png", "outline.png")
    for name in ("digits.png", "outline.png"):
        with Image.open(tmp_path / "empty" / name) as picture:
            assert min(picture.size) >= 28
    assert "gpt_text" in run(program, "train").split()
    assert f"{backend} backend" in run(program, "train", "gpt_text", "--smoke")
    run("-m", "zoo.recipes.gan_1d", "--smoke", KERAS_BACKEND=backend)
    for name in ("gpt_text", "gan_1d"):
        assert (tmp_path / "empty" / "runs" / name / "summary.json").is_file()
