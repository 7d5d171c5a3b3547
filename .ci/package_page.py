"""Checks what a package page shows of built packages: links that work anywhere, and who, what and where in the fields.

    python3 .ci/package_page.py DIST

DIST holds the wheels. It ends with an error that names the package and what is missing.
"""

from __future__ import annotations

import re
import sys
import zipfile
from email import message_from_string
from pathlib import Path

URLS = {"Documentation", "Changelog", "Issues", "Source"}
FIELDS = ("Author", "License-Expression", "Requires-Python", "Keywords")


def faults(wheel: Path) -> list[str]:
    """Return what is wrong with the page of a package."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode())
    page = str(metadata.get_payload())
    links = re.findall(r"""(?:\]\(|(?:src|href)=")((?!https?:|#)[^)"]+)[)"]""", page)
    found = [f"a link or a picture that needs a clone: {link}" for link in links]
    urls = {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])}
    found += [f"no link named {label}" for label in sorted(URLS - urls)]
    found += [f"no field {field}" for field in FIELDS if not metadata[field]]
    own = metadata["Name"]
    if own != "linqbot":
        bound = [one for one in metadata.get_all("Requires-Dist", []) if re.match(r"linqbot\b(?!-)", one)]
        found += [] if any("<" in one for one in bound) else [f"no upper bound for linqbot: {bound}"]
    return [f"{own}: {fault}" for fault in found]


def main() -> None:
    wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
    found = [fault for wheel in wheels for fault in faults(wheel)]
    if found or not wheels:
        sys.exit("\n".join(found) or f"{sys.argv[1]} holds no wheel.")
    print(f"The pages of {len(wheels)} packages need no clone.")


main()
