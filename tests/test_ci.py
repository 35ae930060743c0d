"""The script that decides whether a change lands."""

import re


def test_it_installs_every_debian_package_that_a_message_asks_for(repository):
    script = (repository / ".ci" / "run").read_text()
    installed = set(re.search(r'^packages="(.*)"$', script, re.MULTILINE)[1].split())
    asked = set()
    for room in ("android_bench", "tests"):
        for path in (repository / room).rglob("*.py"):
            # Messages are broken into several literals.
            text = re.sub(r'"\s*f?"', "", path.read_text())
            asked.update(re.findall(r"apt-get install ([a-z][\w+.-]*)", text))
    assert "g++-aarch64-linux-gnu" in asked
    assert asked <= installed
