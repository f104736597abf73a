"""The only door to av: open, index, decode and encode video. Everything else sees arrays and numbers."""

from mocrop_prep.video.damage import refusal
from mocrop_prep.video.decode import (
    OpenClip,
    StreamIndex,
    decode_clip,
    index_stream,
    open_clip,
)
from mocrop_prep.video.direct import Film, predicted_index, read_clip
from mocrop_prep.video.encode import TranscodeReport, copy_clip, encode_clip
from mocrop_prep.video.source import (
    VECTOR_CODECS,
    SourceInfo,
    contract_violations,
    direct_violations,
    inspect_source,
    library_versions,
)
from mocrop_prep.video.write import write_video

__all__ = [
    "VECTOR_CODECS",
    "Film",
    "OpenClip",
    "SourceInfo",
    "StreamIndex",
    "TranscodeReport",
    "contract_violations",
    "copy_clip",
    "decode_clip",
    "direct_violations",
    "encode_clip",
    "index_stream",
    "inspect_source",
    "library_versions",
    "open_clip",
    "predicted_index",
    "read_clip",
    "refusal",
    "write_video",
]
