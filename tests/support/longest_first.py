"""The files that take longest are begun first, so that the workers of a run end together.

A worker takes whole files, because their tests share what is dear to make. xdist would begin
with the files of the most tests, and those with few and long ones would be left for one worker.
"""

# Those that take more than ten seconds, longest first. A name that is missing costs balance,
# nothing else.
LONGEST_FIRST = (
    "faults/phone/test_in_a_campaign.py",
    "android_bench/devices/phone/test_campaign_on_phone.py",
    "export/test_build.py",
    "export/android/test_android.py",
    "faults/phone/test_before_a_campaign.py",
    "pfd_models/zoo/test_zoo.py",
    "export/formats/test_networks.py",
    "export/onnx_to_tflite/test_networks.py",
    "pfd_models/training/test_run.py",
    "export/passes/test_every_pass.py",
    "export/quantization/test_quantize.py",
    "pfd_models/families/test_order.py",
    "pfd_models/training/test_distributed.py",
    "export/passes/test_reported_networks.py",
    "android_bench/statistics/test_monitor.py",
    "faults/test_real_harness.py",
    "android_bench/devices/phone/test_governor.py",
    "export/formats/pte/test_lowering.py",
    "pfd_models/convert/test_networks.py",
    "android_bench/native_build/test_build.py",
    "android_bench/devices/phone/test_cache.py",
    "android_bench/devices/phone/test_lock.py",
    "fuzz/test_fuzz.py",
    "export/test_what_a_module_takes.py",
    "export/passes/test_forms.py",
    "android_bench/report/test_page.py",
    "test_readme.py",
    "pfd_models/training/test_train_command.py",
    "pfd_models/paper/test_tables.py",
    "pfd_models/checkpoints/test_checkpoints.py",
    "export/test_app_on_digits.py",
    "export/test_app_files.py",
)


def pytest_collection_modifyitems(config, items):
    tests = config.rootpath / "tests"
    ranks = {tests / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
