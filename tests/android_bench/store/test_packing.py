import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.store.packing import pack_int16, pack_int64, unpack_int16, unpack_int64
from pfd_models.errors import IntegrityError


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_any_int64_row_comes_back(values):
    row = np.array(values, np.int64)
    assert unpack_int64(pack_int64(row), len(row)).tolist() == values


@given(st.lists(st.integers(-(2**15), 2**15 - 1)))
def test_any_int16_row_comes_back(values):
    row = np.array(values, np.int16)
    assert unpack_int16(pack_int16(row), len(row)).tolist() == values


def test_latencies_take_under_four_bytes_each():
    rng = np.random.default_rng(0)
    samples = (6e6 * (1 + rng.gamma(2, 0.01, 1000))).astype(np.int64)
    assert len(pack_int64(samples)) < 4 * len(samples)


def test_damage_is_noticed():
    packed = pack_int64(np.arange(100))
    with pytest.raises(IntegrityError, match="800 bytes instead of 808"):
        unpack_int64(packed, 101)
    flipped = bytearray(packed)
    flipped[len(flipped) // 2] ^= 0x40
    with pytest.raises(IntegrityError, match="damaged"):
        unpack_int64(bytes(flipped), 100)
    with pytest.raises(IntegrityError, match="damaged"):
        unpack_int16(b"no", 1)
