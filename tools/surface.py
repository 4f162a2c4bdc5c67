#!/usr/bin/env python3
"""Writes docs/surface.md: who makes each public name of asyncio, and where.

    tools/surface.py            update the column of the Python that runs it
    tools/surface.py --check    only say whether that column is up to date

The columns of other versions stay as they are in the file.
"""

import pathlib
import sys

from ouro._info import NOBODY, surface

FILE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "surface.md"
VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
THIS = "%d.%d" % sys.version_info[:2]
HEAD = """\
# The surface: asyncio's public names and who makes them

Made by `tools/surface.py`, once with each version of Python; do not edit.

*Owner* is the room of `src/` that makes the name native, or asyncio, if the
name is taken from there on purpose (base classes, exceptions, constants).
The columns say where it comes from in that version of Python: **C**, still
asyncio's own (`py`), or not there at all. An empty column has not been
looked at.
"""


def read():
    """{(module, name): {"owner": ..., version: ...}} of the file."""
    rows, module = {}, None
    text = FILE.read_text() if FILE.exists() else ""
    for line in text.splitlines():
        if line.startswith("## "):
            module = line[3:].strip("`").removeprefix("asyncio.")
        elif line.startswith("| `"):
            name, owner, *cells = (c.strip() for c in line.split("|")[1:-1])
            rows[module, name.strip("`")] = {
                "owner": owner, **dict(zip(VERSIONS, cells))}
    return rows


def update(rows):
    """The rows with this version's column as it is now."""
    rows = {key: dict(row) for key, row in rows.items()}
    for row in rows.values():
        row[THIS] = "-"
    for module, name, owner, is_native in surface():
        row = rows.setdefault((module, name), {})
        row["owner"] = owner
        row[THIS] = "C" if is_native else "py"
    return {key: row for key, row in rows.items()
            if any(row.get(version) in ("C", "py") for version in VERSIONS)}


def _looked_at(rows, version):
    return any(row.get(version) for row in rows.values())


def write(rows):
    """The rows as the text of the file."""
    lines = [HEAD]
    module = None
    for (home, name), row in sorted(rows.items()):
        if home != module:
            module = home
            lines += [f"\n## `asyncio.{home}`\n",
                      "| name | owner | " + " | ".join(VERSIONS) + " |",
                      "|---|---|" + "---|" * len(VERSIONS)]
        cells = " | ".join(
            (row.get(version) or ("-" if _looked_at(rows, version) else ""))
            for version in VERSIONS)
        lines.append(f"| `{name}` | {row['owner']} | {cells} |")
    return "\n".join(lines) + "\n"


def main():
    old = read()
    rows = update(old)
    nobodys = [f"asyncio.{module}.{name}"
               for (module, name), row in rows.items()
               if row["owner"] == NOBODY]
    if nobodys:
        sys.exit("nobody owns " + ", ".join(nobodys) + ": see _names.py")
    text = write(rows)
    if "--check" in sys.argv:
        if not FILE.exists() or FILE.read_text() != text:
            sys.exit(f"{FILE.name} is out of date: run tools/surface.py")
        return
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text)
    print(f"{FILE}: {len(rows)} names")


if __name__ == "__main__":
    main()
