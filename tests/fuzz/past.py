"""Inputs that broke a promise once, and others that are known to break readers; all are small."""

from __future__ import annotations

import tarfile

from tests.fuzz import repair, seeds


def tar(name: str = "a.jpg", size: bytes = b"", kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> bytes:
    """Return one member of a tar; `size` is the field of the header as it stands there."""
    member = tarfile.TarInfo(name)
    member.size, member.type = len(content), kind
    header = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    header[124 : 124 + len(size)] = size
    return repair.tar_headers(bytes(header)) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def pax(**fields: str) -> bytes:
    """Return an extended header with fields for the next member."""
    records = []
    for name, value in fields.items():
        text = f" {name.replace('__', '.')}={value}\n"
        length = len(text) + len(str(len(text) + 2))
        records.append(f"{length}{text}".encode())
    return tar("pax", kind=tarfile.XHDTYPE, content=b"".join(records))


def binary_number(number: int) -> bytes:
    """Return a number as GNU tar writes those that octal digits cannot hold: negative, or huge."""
    return (b"\xff" if number < 0 else b"\x80") + (number % (1 << 88)).to_bytes(11)


_SHARD = seeds.shard("webdataset", per_frame=False)
TARS = [
    b"",
    bytes(1024),
    tar("a.json"),
    tar("a.json", content=b"[" * 100_000),
    tar("a.json", content=b"[]"),
    tar("a.json", content=b'{"clip_id": ["a"]}'),
    tar("a.json", content=b"9" * 5000),
    tar("a.json", content=b'"\xff"'),
    # sizes: back to the header, far beyond the file, and beyond any
    tar(size=binary_number(-512)),
    tar(size=binary_number(1 << 50)),
    tar(size=binary_number(1 << 80)),
    tar(size=b"77777777777\0"),
    # what tarfile follows, and shards have not: links to themselves, holes, devices, names without end
    tar("a.json", kind=tarfile.SYMTYPE),
    tar("a.json", kind=tarfile.LNKTYPE),
    tar("a.json", kind=tarfile.GNUTYPE_SPARSE),
    tar("a.json", kind=tarfile.CHRTYPE),
    tar("a.json", kind=b"7"),
    tar(kind=tarfile.GNUTYPE_LONGNAME) * 700,
    tar(kind=tarfile.XHDTYPE) * 700,
    tar(kind=tarfile.XGLTYPE, content=b"21 GNU.sparse.size=9\n"),
    tar("pax", kind=tarfile.XHDTYPE, content=b"1" * 200_000),
    pax(size="-512") + tar(),
    pax(size="9" * 4400) + tar(),
    pax(GNU__sparse__major="1", GNU__sparse__minor="0") + tar(content=b"9\n"),
    pax(GNU__sparse__size=str(1 << 60), GNU__sparse__numblocks="0") + tar("a.json"),
    pax(GNU__sparse__map="0,x") + tar("a.json"),
    pax(path="a\nb.json", hdrcharset="BINARY") + tar(),
    # a header that decayed is no end of the archive
    seeds.shard("webdataset", per_frame=False)[:2048]
    + b"decay"
    + seeds.shard("webdataset", per_frame=False)[2053:],
]
NESTED = b"[" * 100_000
JSON = [
    b"",
    b"null",
    b"[]",
    b"{}",
    NESTED,
    b'{"a":' * 50_000,
    b"9" * 5000,
    b"\xff\xfe",
    b'"\\ud800"',
    b"NaN",
]
# a JPEG whose header tells of 65500 x 65500 pixels, a GIF, and a PostScript file that Pillow would hand on
_JPEG = seeds.samples()[0].jpegs[0]
_SIZE = _JPEG.index(b"\xff\xc0") + 5
PICTURES = [
    b"",
    _JPEG[:_SIZE] + (65500).to_bytes(2) * 2 + _JPEG[_SIZE + 4 :],
    _JPEG[:_SIZE] + bytes(4) + _JPEG[_SIZE + 4 :],
    _JPEG[: len(_JPEG) // 2],
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n",
]
_HEADER = b"clip_id,path,label,label_name,split,group\n"
TABLES = [
    b"",
    b"\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    _HEADER + b'a,p,"\n-5",l,train,\n',
    _HEADER + b"a,p," + b"9" * 5000 + b",l,train,\n",
    _HEADER + b"a,p,1_0,l,train,\n",
    _HEADER + b"a,p,0,l\x00,train,\n",
    _HEADER + b'a,"' + b"x" * 140_000 + b'",0,l,train,\n',
    b'path,label,"two\nlines"\na,b\n',
]
_START = bytes.fromhex("0000000167420014")
PARAMETER_SETS = [
    b"",
    b"\x01",
    _START,
    _START + bytes(5000) + b"\xff" * 5000,
    _START + b"\xff",
    b"\x01\x42\x00\x14\xff\xe1\xff\xff\x67",
]

PAST: dict[str, list[bytes]] = {
    "prep-tar": TARS,
    "train-tar": TARS,
    "train-edited": [bytes.fromhex("9900002813ed22002055848f13ff")],  # a class name of two lines
    "jpeg": PICTURES,
    "crops": TABLES,
    "clips": TABLES,
    "dataset": JSON,
    "dataset-edited": [bytes.fromhex("ff491cdf00ff03")],  # half of a surrogate pair in a setting
    "journal": [*(text + b"\n" for text in JSON), b'{"a": 1, "crc": ""}\n', NESTED[:-1] + b', "crc": ""}\n'],
    "predictions": JSON,
    "predictions-edited": [bytes.fromhex("20000029")],  # half of a surrogate pair in a name
    "sps": PARAMETER_SETS,
    "table": TABLES,
}
