"""The files that take longest are begun first, so that the workers of a run end together.

A worker takes whole files, because their tests share what is dear to make. xdist would begin
with the files of the most tests, and those with few and long ones would be left for one worker.
"""

# Of those that take more than ten seconds, longest first. A name that is missing costs balance,
# nothing else.
LONGEST_FIRST = (
    "export/formats/test_networks.py",
    "faults/phone/test_in_a_campaign.py",
    "export/test_build.py",
)


def pytest_collection_modifyitems(config, items):
    tests = config.rootpath / "tests"
    ranks = {tests / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
