"""The preview page: what the crops look like, in one HTML file that opens from disk on its own."""

from mocrop_prep.preview.select import Wanted
from mocrop_prep.preview.write import PreviewReport, write_preview

__all__ = ["PreviewReport", "Wanted", "write_preview"]
