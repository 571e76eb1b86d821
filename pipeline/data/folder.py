"""Class-per-folder photographs of any size."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipeline.data._folders import list_folder
from pipeline.data.photographs import Listing, PhotographSource


class Folder(PhotographSource):
    """Photographs in one folder a class, or in train/val/test folders of such.

    Attributes:
        path: the folder.
    """

    kind: ClassVar[str] = "folder"
    path: str

    @classmethod
    def from_text(cls, text: str) -> Folder:
        return cls(path=text)

    def listing(self) -> Listing:
        return list_folder(Path(self.path).expanduser())

    def source(self, listing: Listing) -> str:
        return f"photographs below {listing.root.name}/"
