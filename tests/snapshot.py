"""Digests of what every shipped config generates, as tests/snapshot.json has them.

    python -m tests.snapshot            # what differs from the record
    python -m tests.snapshot --write    # the same, and a new record

A module's digest is of its Verilog. Its shape is a digest of the same text in which names are numbered in the order in
which they appear: a change that only renames things keeps it.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config, shipped_configs
from einloom.generators.cached_designs import cached_designs

RECORD = Path(__file__).with_name("snapshot.json")
KEYWORDS = frozenset(
    "always assign begin case casez default else end endcase endgenerate endmodule for function endfunction generate "
    "genvar if initial inout input integer localparam module negedge or output parameter posedge reg signed "
    "wire".split()
)
NAME = re.compile(r"\\\S+|(?<![\w'$])[A-Za-z_$][\w$]*")
Snapshot = dict[str, Any]


def snapshot_of(name: str) -> Snapshot:
    """The manifest's digest, and digest and shape of each module of the designs, of a shipped config."""
    found: Snapshot = {"manifest": "", "modules": {}}
    manifests = []
    for design in cached_designs(load_config(name)):
        manifests.append(design.manifest.to_json())
        for module, text in modules(design.verilog.replace(f"{design.manifest.top}_", "")):
            found["modules"][module] = f"{digest(text)} {digest(shape(text))}"
    found["manifest"] = digest("".join(manifests))
    return found


def modules(verilog: str) -> Iterator[tuple[str, str]]:
    """Name and text of each module."""
    for match in re.finditer(r"^module (\\?\S+?)\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL):
        yield match[1], match[0]


def shape(text: str) -> str:
    """The text with its names numbered."""
    numbers: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        name = match[0]
        return name if name in KEYWORDS else numbers.setdefault(name, f"n{len(numbers)}")

    return NAME.sub(numbered, text)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs between two snapshots of a config, a line each; nothing when they are equal."""
    lines = ["the manifest differs"] if recorded["manifest"] != found["manifest"] else []
    old, new = recorded["modules"], found["modules"]
    lines += [f"{name} is gone" for name in old.keys() - new.keys()]
    lines += [f"{name} is new" for name in new.keys() - old.keys()]
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            same = old[name].split()[1] == new[name].split()[1]
            lines.append(f"{name} {'has other names' if same else 'differs'}")
    return sorted(lines)


def recorded() -> dict[str, Snapshot]:
    record: dict[str, Snapshot] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all shipped configs unless named")
    parser.add_argument("--write", action="store_true", help="record what is generated now")
    arguments = parser.parse_args()
    record = recorded()
    found = {n: snapshot_of(n) if n in arguments.names or not arguments.names else record[n] for n in shipped_configs()}
    changed = False
    for name in sorted(record.keys() | found.keys()):
        nothing: Snapshot = {"manifest": "", "modules": {}}
        lines = differences(record.get(name, nothing), found.get(name, nothing))
        changed |= bool(lines)
        print(f"{name}: {'same' if not lines else ''}")
        for line in lines:
            print(f"  {line}")
    if arguments.write:
        RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    elif changed:
        sys.exit("run `python -m tests.snapshot --write` if this is meant")


if __name__ == "__main__":
    main()
