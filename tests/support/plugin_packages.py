"""Plugins as pip installs them: a module and its dist-info, in a folder of the import path."""

from __future__ import annotations

import textwrap
from pathlib import Path


def install_plugin(folder: Path, name: str, code: str, *, entry: str = "", version: str = "1.0") -> None:
    """Install `linqbot-<name>`, whose module `<name>_plugin` holds `code`.

    Args:
        entry: Name of the plugin in the module; empty if the module itself is the plugin.
    """
    module = f"{name}_plugin"
    (folder / f"{module}.py").write_text(textwrap.dedent(code))
    info = folder / f"linqbot_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: linqbot-{name}\nVersion: {version}\n")
    target = f"{module}:{entry}" if entry else module
    (info / "entry_points.txt").write_text(f"[linqbot]\n{name} = {target}\n")
