"""What `make linkcheck` says: broken links fail, unreachable servers are named."""

import importlib.util

import pytest

from .blocks import ROOT

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location(
        "link_report", ROOT / "docs" / "link_report.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.report


def link(status, info="", uri="https://a.b/c"):
    line = {"filename": "index.md", "lineno": 3, "code": 0}
    return {**line, "status": status, "info": info, "uri": uri}


@pytest.mark.parametrize(
    "info",
    [
        "404 Client Error: Not Found for url: https://a.b/c",
        "Anchor 'there' not found",
    ],
)
def test_broken_links_fail(report, info):
    lines, good = report([link("working", uri="https://a.b"), link("broken", info)])
    assert lines[0] == f"broken: index.md:3: https://a.b/c: {info}"
    assert lines[-1].startswith("1 links work, 1 are broken, and 0 were not")
    assert not good


@pytest.mark.parametrize(
    ("status", "info"),
    [
        ("broken", "HTTPSConnectionPool(host='a.b', port=443): Max retries exceeded"),
        ("timeout", "Read timed out"),
    ],
)
def test_servers_out_of_reach_are_named(report, status, info):
    lines, good = report([link(status, info), link(status, info), link("unchecked")])
    assert lines[0] == "not reached from here: https://a.b/c"
    assert lines[1].startswith("0 links work, 0 are broken, and 1 were not checked")
    assert good
