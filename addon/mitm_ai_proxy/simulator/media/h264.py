"""A small H.264 encoder (ITU-T H.264, Constrained Baseline) for pictures whose macroblocks have one colour each.

Numbers of sections and tables are those of the standard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

MACROBLOCK: Final = 16
"""Side in pixels."""

# Table A-1: level_idc, MaxMBPS, MaxFS, in macroblocks.
_LEVELS = [
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (50, 589_824, 22_080),
    (51, 983_040, 36_864),
    (60, 4_177_920, 139_264),
]
_PROFILE_IDC = 66
_CONSTRAINT_FLAGS = 0b1100_0000  # constraint_set0_flag and constraint_set1_flag (A.2.1.1)

# With these, a DC coefficient of one changes a sample by one, in luma (8.5.10) and in chroma (8.5.11): every colour is
# exact, and no error accumulates.
_LUMA_QP = 28
_CHROMA_QP_INDEX_OFFSET = -6

_FRAME_NUM_BITS = 4

# nal_unit_type (Table 7-1), under a nal_ref_idc of 3
_NAL_SLICE, _NAL_IDR, _NAL_SPS, _NAL_PPS = (0x60 | kind for kind in (1, 5, 7, 8))

# slice_type (Table 7-6)
_P, _I = 0, 2

# mb_type of I_16x16 with neither AC nor chroma coefficients, less its prediction (Tables 7-11 and 7-13)
_I_SLICE_TYPES, _P_SLICE_TYPES = 1, 6
_MB_TYPES_BY_CHROMA = 4

# Intra16x16PredMode (Table 8-4) and intra_chroma_pred_mode (Table 7-16)
_VERTICAL, _HORIZONTAL, _DC = 0, 1, 2
_CHROMA_DC = 0
_CHROMA_MODES = {_VERTICAL: 2, _HORIZONTAL: 1}

# coeff_token (Table 9-5): no coefficient, one of which the level is 1 or -1, one with another level.
# A macroblock without AC coefficients counts as 0, so that a DC block of luma always has an nC of 0.
_LUMA_TOKENS = ("1", "01", "000101")
_CHROMA_TOKENS = ("01", "1", "000111")
_NO_ZEROS = "1"  # total_zeros of 0 (Tables 9-7 and 9-9)

_EMULATION = re.compile(rb"\0\0(?=[\0-\3])")


class Colour(NamedTuple):
    """The colour of a macroblock, in samples of eight bits."""

    luma: int
    cb: int
    cr: int


_UNKNOWN = Colour(128, 128, 128)  # the prediction without a neighbour (8.3.3.3, 8.3.4)


def colour(red: int, green: int, blue: int) -> Colour:
    """A colour in ITU-R BT.709, limited range (E.2.1)."""
    light = (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
    return Colour(
        round(16 + 219 * light),
        round(128 + 224 * (blue / 255 - light) / 1.8556),
        round(128 + 224 * (red / 255 - light) / 1.5748),
    )


class Encoder:
    """Makes the NAL units of one video: the parameter sets, the first picture, and the changes of each later one."""

    def __init__(self, width: int, height: int, frames_per_second: int) -> None:
        """Raises ValueError for a size that no level allows, and for odd sides, which 4:2:0 cannot have."""
        if width % 2 or height % 2:
            raise ValueError(f"a video has even sides, not {width}x{height}")
        self._columns, self._rows = -(-width // MACROBLOCK), -(-height // MACROBLOCK)
        self._shown: list[Colour] = []
        self._frames = 0
        self.sequence_parameter_set = self._sequence_parameter_set(width, height, frames_per_second)
        self.picture_parameter_set = _picture_parameter_set()

    def first(self, cells: Sequence[Colour]) -> bytes:
        """The first picture (IDR), from the colours of its macroblocks, row by row."""
        self._shown = list(cells)
        self._frames = 1
        parts = [_slice_header(_I, 0, _ue(0), "00")]
        above: Sequence[Colour | None] = [None] * self._columns
        for start in range(0, len(cells), self._columns):
            row = cells[start : start + self._columns]
            parts += map(_macroblock_of_i, row, (None, *row), above)
            above = row
        return _nal_unit(_NAL_IDR, "".join(parts))

    def next(self, changes: Mapping[int, Colour]) -> bytes:
        """The next picture: `changes` has the new colours of macroblocks, by address."""
        columns, shown = self._columns, self._shown
        parts = [_slice_header(_P, self._frames, "", "000")]
        self._frames += 1
        address = 0
        for changed, new in sorted(changes.items()):
            left = shown[changed - 1] if changed % columns else None
            above = shown[changed - columns] if changed >= columns else None
            # mb_skip_run (7.3.4)
            parts += (_ue(changed - address), _macroblock(_P_SLICE_TYPES, new, left, above))
            shown[changed] = new
            address = changed + 1
        if address < len(shown):
            parts.append(_ue(len(shown) - address))
        return _nal_unit(_NAL_SLICE, "".join(parts))

    def _sequence_parameter_set(self, width: int, height: int, frames_per_second: int) -> bytes:
        """7.3.2.1.1"""
        right = (self._columns * MACROBLOCK - width) // 2
        bottom = (self._rows * MACROBLOCK - height) // 2
        fields = (
            _u(_PROFILE_IDC, 8),
            _u(_CONSTRAINT_FLAGS, 8),
            _u(_level(self._columns, self._rows, frames_per_second), 8),
            _ue(0),  # seq_parameter_set_id
            _ue(_FRAME_NUM_BITS - 4),
            _ue(2),  # pic_order_cnt_type: pictures are shown in the order in which they are decoded
            _ue(1),  # max_num_ref_frames
            "0",  # gaps_in_frame_num_value_allowed_flag
            _ue(self._columns - 1),
            _ue(self._rows - 1),
            "1",  # frame_mbs_only_flag
            "1",  # direct_8x8_inference_flag
            "1",  # frame_cropping_flag
            *map(_ue, (0, right, 0, bottom)),
            "1",  # vui_parameters_present_flag
            _video_usability_information(frames_per_second),
        )
        return _nal_unit(_NAL_SPS, "".join(fields))


def _video_usability_information(frames_per_second: int) -> str:
    """E.1.1"""
    fields = (
        "1" + _u(1, 8),  # aspect_ratio_idc: square
        "0",  # overscan_info_present_flag
        "1" + _u(5, 3) + "0",  # video_signal_type_present_flag; limited range
        "1" + _u(1, 8) * 3,  # primaries, transfer and matrix of BT.709
        "0",  # chroma_loc_info_present_flag
        "1" + _u(1, 32) + _u(2 * frames_per_second, 32) + "1",  # timing_info_present_flag; a tick is half a frame
        "000",  # no HRD parameters, pic_struct_present_flag
        "11",  # bitstream_restriction_flag, motion_vectors_over_pic_boundaries_flag
        *map(_ue, (0, 0, 0, 0)),
        _ue(0),  # max_num_reorder_frames
        _ue(1),  # max_dec_frame_buffering
    )
    return "".join(fields)


def _picture_parameter_set() -> bytes:
    """7.3.2.2"""
    fields = (
        _ue(0) + _ue(0),  # pic_parameter_set_id, seq_parameter_set_id
        "00",  # CAVLC, bottom_field_pic_order_in_frame_present_flag
        _ue(0) * 3,  # one slice group, one reference
        "000",  # no weighted prediction
        _se(_LUMA_QP - 26) + _se(0),
        _se(_CHROMA_QP_INDEX_OFFSET),
        "100",  # deblocking_filter_control_present_flag
    )
    return _nal_unit(_NAL_PPS, "".join(fields))


def _level(columns: int, rows: int, frames_per_second: int) -> int:
    """The lowest level of the table that allows the size and the rate (A.3.1)."""
    size = columns * rows
    for level, most_a_second, most in _LEVELS:
        if size * frames_per_second <= most_a_second and size <= most and max(columns, rows) ** 2 <= 8 * most:
            return level
    raise ValueError(f"no level of H.264 allows {columns}x{rows} macroblocks")


def _slice_header(slice_type: int, frame: int, idr_pic_id: str, flags: str) -> str:
    """7.3.3. `flags` are the flags about reference pictures, in order; all are 0."""
    frame_num = _u(frame % (1 << _FRAME_NUM_BITS), _FRAME_NUM_BITS)
    # After the flags: slice_qp_delta, disable_deblocking_filter_idc.
    return _ue(0) + _ue(slice_type) + _ue(0) + frame_num + idr_pic_id + flags + _se(0) + _ue(1)


def _macroblock_of_i(new: Colour, left: Colour | None, above: Colour | None) -> str:
    return _macroblock(_I_SLICE_TYPES, new, left, above)


@lru_cache(maxsize=4096)
def _macroblock(first_type: int, new: Colour, left: Colour | None, above: Colour | None) -> str:
    """The macroblock layer (7.3.5) of an Intra_16x16 macroblock, predicted from the neighbour with the shorter code."""
    # DC prediction of chroma has the shortest code; its result is the same if the neighbours agree.
    agree = left is None or above is None or left[1:] == above[1:]
    predictions = [(_VERTICAL, above), (_HORIZONTAL, left)]
    known = [(mode, old) for mode, old in predictions if old is not None] or [(_DC, _UNKNOWN)]
    codes = [
        _predicted(first_type, new, old, mode, _CHROMA_DC if agree else _CHROMA_MODES[mode]) for mode, old in known
    ]
    return min(codes, key=len)


def _predicted(first_type: int, new: Colour, old: Colour, mode: int, chroma_mode: int) -> str:
    luma, cb, cr = new.luma - old.luma, new.cb - old.cb, new.cr - old.cr
    chroma = _dc_block(cb, _CHROMA_TOKENS) + _dc_block(cr, _CHROMA_TOKENS) if cb or cr else ""
    mb_type = first_type + mode + (_MB_TYPES_BY_CHROMA if chroma else 0)
    return _ue(mb_type) + _ue(chroma_mode) + _se(0) + _dc_block(luma, _LUMA_TOKENS) + chroma


def _dc_block(level: int, tokens: tuple[str, str, str]) -> str:
    """residual_block_cavlc (7.3.5.3.2) with the DC coefficient only."""
    if not level:
        return tokens[0]
    if abs(level) == 1:
        return tokens[1] + ("0" if level > 0 else "1") + _NO_ZEROS
    return tokens[2] + _level_code(2 * abs(level) - 4 + (level < 0)) + _NO_ZEROS


def _level_code(code: int) -> str:
    """level_prefix and level_suffix with a suffixLength of 0 (9.2.2.1)."""
    if code < 14:
        return "0" * code + "1"
    if code < 30:
        return "0" * 14 + "1" + _u(code - 14, 4)
    return "0" * 15 + "1" + _u(code - 30, 12)


def _u(value: int, bits: int) -> str:
    return f"{value:0{bits}b}"


def _ue(value: int) -> str:
    """Exp-Golomb (9.1)."""
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def _se(value: int) -> str:
    """Signed Exp-Golomb (9.1.1)."""
    return _ue(2 * value - 1 if value > 0 else -2 * value)


def _nal_unit(header: int, bits: str) -> bytes:
    """7.3.1, with the trailing bits of 7.3.2.11."""
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8)
    return bytes((header,)) + _EMULATION.sub(b"\0\0\3", payload)
