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
