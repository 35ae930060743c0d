import numpy as np

from export.network.inputs import make_inputs


def test_inputs_are_seeded_and_differ():
    first, again = (make_inputs([(1, 3, 4, 4), (2,)], seed=5) for _ in range(2))
    assert len(first) == 8
    assert [a.shape for a in first[0]] == [(1, 3, 4, 4), (2,)]
    assert all(
        np.array_equal(a, b)
        for x, y in zip(first, again, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    assert not np.array_equal(first[0][0], first[1][0])
    assert not np.array_equal(first[0][0], make_inputs([(1, 3, 4, 4)], seed=6)[0][0])


def test_noise_within_a_range_fills_it_and_differs_in_brightness():
    samples = make_inputs([(1, 3, 16, 16)], seed=5, value_range=(0, 255))
    pixels = np.stack([image for (image,) in samples])
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < 30
    assert 225 < pixels.max() <= 255
    assert pixels.mean((3, 4)).std() > 30  # all alike, it would be 255 / 12**0.5 / 16
    again = make_inputs([(1, 3, 16, 16)], seed=5, value_range=(0, 255))
    assert np.array_equal(pixels[7], again[7][0])


def test_a_range_holds_for_whole_numbers_too():
    (sample,) = make_inputs([(500,)] * 2, 1, 1, (3, 9), dtypes=("int32", "uint8"))
    assert [(a.dtype.name, set(a.tolist())) for a in sample] == [
        ("int32", set(range(3, 10))),
        ("uint8", set(range(3, 10))),
    ]
