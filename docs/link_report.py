"""Sums up what `make linkcheck` found, and fails if a link is broken.

A link is broken if a server says so, or if its page lacks the anchor. Links whose
server can't be reached from here are listed: nothing is known of them.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

# What a server has answered, as Sphinx reports it.
ANSWERED = re.compile(r"\d{3} (Client|Server) Error|Anchor |Anchor$")


def report(lines: list[dict]) -> tuple[list[str], bool]:
    """The lines to print, and whether all links that could be checked work.

    Args:
        lines: one dict for each link, from Sphinx's `output.json`.
    """
    broken, unreached, working = [], Counter(), set()
    for each in lines:
        at = f"{each['filename']}:{each['lineno']}: {each['uri']}"
        if each["status"] in ("working", "redirected"):
            working.add(each["uri"])
        elif each["status"] == "broken" and ANSWERED.match(each["info"]):
            broken.append(f"broken: {at}: {each['info']}")
        elif each["status"] in ("broken", "timeout"):
            unreached[each["uri"]] += 1
    said = [*broken, *(f"not reached from here: {uri}" for uri in sorted(unreached))]
    said.append(
        f"{len(working)} links work, {len(broken)} are broken, and {len(unreached)} "
        "were not checked, since their servers can't be reached from here."
    )
    return said, not broken


if __name__ == "__main__":
    file = Path(sys.argv[1])
    if not file.exists():
        sys.exit(f"Sphinx left no {file}: see its messages above.")
    found = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    text, good = report(found)
    print("\n".join(text))
    sys.exit(0 if good else 1)
