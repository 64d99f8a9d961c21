"""What `pyproject.toml` can't say: two folders beside `zoo` are installed within it."""

from setuptools import find_packages, setup

INSIDE = {"zoo.recipes": "recipes", "zoo.pretrained": "pretrained"}

setup(
    packages=[*find_packages(include=["zoo", "zoo.*"]), *INSIDE],
    package_dir=INSIDE,
)
