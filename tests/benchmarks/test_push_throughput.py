"""Every client sends beside the platform adb."""

from scripts import load_script


def test_every_client_sends_beside_the_platform_adb(kept_phone, repository):
    benchmark = load_script(repository / "benchmarks" / "push_throughput.py")
    found = benchmark.push_throughput(kept_phone, size_bytes=2_000_000, rounds=1)
    assert [one.client for one in found] == ["adb push", "adb-server", "adb-shell"]
    assert found[0].ratio == 1.0
    assert all(one.mb_per_s > 0 for one in found)
