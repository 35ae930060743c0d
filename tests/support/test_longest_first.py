from types import SimpleNamespace

import pytest
from longest_first import LONGEST_FIRST, pytest_collection_modifyitems


@pytest.mark.parametrize("name", LONGEST_FIRST)
def test_the_files_named_are_there(repository, name):
    assert (repository / "tests" / name).is_file()


def test_they_are_begun_first_and_all_others_keep_their_order(pytestconfig, repository):
    first, second, *_ = LONGEST_FIRST
    names = ["z.py", second, "a.py", first, "z.py", first]
    items = [SimpleNamespace(path=repository / "tests" / n, number=i) for i, n in enumerate(names)]
    pytest_collection_modifyitems(pytestconfig, items)
    assert [item.number for item in items] == [3, 5, 1, 0, 2, 4]


def test_xdist_keeps_that_order(pytestconfig):
    assert pytestconfig.getoption("loadscopereorder") is False
    assert "loadfile" in pytestconfig.getini("addopts")
