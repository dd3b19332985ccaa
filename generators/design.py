"""A generated design: Verilog and manifest, and how they become files."""

from dataclasses import dataclass
from pathlib import Path

from einloom.spec.files import write_folder
from einloom.spec.manifest import Manifest

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Design:
    """The Verilog text of a config and the manifest that describes it."""

    verilog: str
    manifest: Manifest

    def write(self, folder: Path) -> None:
        """Write both files into `folder`; InputError when that fails, with nothing half-written."""
        write_folder(folder, {self.manifest.verilog: self.verilog.encode(), MANIFEST: self.manifest.to_json().encode()})
