"""The files that take longest are begun first, so that the workers of a run end together.

A worker takes whole files, because their tests share what is dear to make. xdist would begin
with the files of the most tests, and those with few and long ones would be left for one worker.
"""

# Those that take more than ten seconds, longest first. A name that is missing costs balance,
# nothing else.
LONGEST_FIRST = (
    "export/test_build.py",
    "pfd_models/training/test_run.py",
    "faults/phone/test_in_a_campaign.py",
    "android_bench/native/test_engines.py",
    "android_bench/devices/phone/test_campaign_on_phone.py",
    "pfd_models/zoo/test_zoo.py",
    "export/onnx_to_tflite/test_networks.py",
    "faults/test_real_harness.py",
    "fuzz/test_fuzz.py",
    "export/android/test_android.py",
    "android_bench/devices/phone/test_governor.py",
    "faults/phone/test_before_a_campaign.py",
    "pfd_models/families/test_order.py",
    "export/passes/test_every_pass.py",
    "export/quantization/test_quantize.py",
    "android_bench/arm_cost/test_counting.py",
    "export/passes/test_reported_networks.py",
    "export/formats/test_networks.py",
    "android_bench/transports/test_transports.py",
    "android_bench/statistics/test_monitor.py",
    "android_bench/report/test_page.py",
    "faults/test_damaged_input.py",
    "test_imports.py",
    "export/formats/pte/test_lowering.py",
    "android_bench/native/test_arm64_precisions.py",
    "android_bench/transports/test_detached.py",
    "pfd_models/training/test_train_command.py",
    "export/passes/test_forms.py",
    "pfd_models/training/test_distributed.py",
    "android_bench/devices/phone/test_cache.py",
    "android_bench/devices/phone/test_lock.py",
    "android_bench/cli/test_main.py",
    "pfd_models/convert/test_networks.py",
    "android_bench/report/test_heats_page.py",
    "export/quantization/test_build.py",
    "test_readme.py",
)


def pytest_collection_modifyitems(config, items):
    tests = config.rootpath / "tests"
    ranks = {tests / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
