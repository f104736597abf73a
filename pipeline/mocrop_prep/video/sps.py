"""Find an H.264 sequence parameter set and read its number of reference frames (ITU-T H.264, 7.3.2.1.1)."""

from __future__ import annotations

_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
_START_CODE = b"\x00\x00\x01"
_SPS = 7
_SLICES = range(1, 6)
_LONGEST_CODE = 31  # leading zeros of an Exp-Golomb code


def reference_frames(extradata: bytes | None) -> int | None:
    """Return max_num_ref_frames of the first SPS in avcC or Annex B extradata, or None if there is none."""
    sps = first_sps(extradata or b"")
    if sps is None:
        return None
    try:
        return _max_num_ref_frames(_Bits(sps.replace(b"\x00\x00\x03", b"\x00\x00")))
    except IndexError:
        return None


def first_sps(extradata: bytes) -> bytes | None:
    """Return the first SPS in avcC or Annex B data, without zeros behind it, or None if there is none."""
    if extradata[:1] == b"\x01" and len(extradata) > 8:  # avcC: version 1, the number of SPS, 16-bit lengths
        length = int.from_bytes(extradata[6:8])
        sps = extradata[8 : 8 + length]
        return sps.rstrip(b"\x00") if extradata[5] & 31 and sps and sps[0] & 31 == _SPS else None
    for unit in extradata.split(_START_CODE)[1:]:
        if unit and unit[0] & 31 == _SPS:
            return unit.rstrip(b"\x00")
    return None


def sps_in_packet(packet: bytes, extradata: bytes) -> bytes | None:
    """Return the SPS before the first slice of a packet, or None; the stream's extradata tells its form."""
    if extradata[:1] != b"\x01" or len(extradata) < 5:
        return first_sps(packet)
    digits, at = (extradata[4] & 3) + 1, 0
    while at + digits < len(packet):
        length = int.from_bytes(packet[at : at + digits])
        unit = packet[at + digits : at + digits + length]
        if not unit or unit[0] & 31 in _SLICES:
            return None
        if unit[0] & 31 == _SPS:
            return unit.rstrip(b"\x00")
        at += digits + length
    return None


def _max_num_ref_frames(bits: _Bits) -> int:
    bits.take(8)  # the NAL header
    profile = bits.take(8)
    bits.take(16)  # constraint flags and level
    bits.exp_golomb()  # seq_parameter_set_id
    if profile in _HIGH_PROFILES:
        if bits.exp_golomb() == 3:  # chroma_format_idc 4:4:4
            bits.take(1)
        bits.exp_golomb()  # bit_depth_luma_minus8
        bits.exp_golomb()  # bit_depth_chroma_minus8
        bits.take(1)
        if bits.take(1):  # seq_scaling_matrix_present_flag: such streams are not ours, and not worth parsing
            raise IndexError
    bits.exp_golomb()  # log2_max_frame_num_minus4
    order_type = bits.exp_golomb()
    if order_type == 0:
        bits.exp_golomb()
    elif order_type == 1:
        bits.take(1)
        bits.exp_golomb()
        bits.exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.exp_golomb()
    return bits.exp_golomb()


class _Bits:
    """A reader of single bits and unsigned Exp-Golomb codes; raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._position >> 3]
            value = value << 1 | byte >> (7 - (self._position & 7)) & 1
            self._position += 1
        return value

    def exp_golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _LONGEST_CODE:
                raise IndexError("no number of H.264 is that long")
        return (1 << zeros) - 1 + self.take(zeros)
