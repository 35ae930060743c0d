import pytest

from android_bench.campaign.result import read_result
from android_bench.records import Design, Flag
from android_bench.statistics.comparison import Verdict
from android_bench.statistics.stopping import MIXTURE_T_RULE, TRIMMED_T_RULE
from pfd_models.errors import InputError


def test_a_stored_campaign_gives_the_plan_it_followed(make):
    record = make.campaign(arms=(make.arm("ours"), make.arm("orig (A/A)"), make.arm("orig")))
    assert record.design == Design(
        labels=("orig", "ours"), precision=0.01, budget_seconds=300.0, seed=7
    )


def test_a_result_is_derived_from_the_store(store, make):
    make.fill(store)
    result = read_result(store, "2026")
    (comparison,) = result.comparisons
    assert comparison.verdict is Verdict.FASTER
    assert comparison.rule == TRIMMED_T_RULE.name
    assert result.complete
    assert result.artifact("orig (A/A)") == make.artifact("orig")
    assert result.artifact("ours") == make.artifact("ours")
    orig, ours = result.summaries
    assert (orig.label, ours.label) == ("orig", "ours")
    assert orig.n_blocks == ours.n_blocks == 24  # the control's blocks are the baseline's
    assert orig.n_disturbed + ours.n_disturbed == 1


def test_a_campaign_that_did_not_end_by_its_rule_is_judged_by_the_wider_one(store, make):
    files = [make.artifact("orig"), make.artifact("ours")]
    store.add_campaign(make.campaign(), make.device(), files)
    for block in make.measured_blocks():
        store.add_block(block)
    early = read_result(store, "last")
    assert not early.complete
    assert early.comparisons[0].rule == MIXTURE_T_RULE.name
    store.add_event(make.event("stopped"))
    ended = read_result(store, "last")
    assert ended.comparisons[0].rule == TRIMMED_T_RULE.name
    assert ended.comparisons[0].half_width < early.comparisons[0].half_width


def test_a_campaign_with_nothing_good_in_it_is_still_a_result(store, make):
    make.fill(store, [make.block(0, samples_ns=(), flags=frozenset({Flag.ENGINE_CRASHED}))])
    result = read_result(store, "last")
    assert (result.summaries, result.comparisons, result.control) == ((), (), None)
    assert len(result.blocks) == 1
    with pytest.raises(InputError, match="no campaign 'x'"):
        read_result(store, "x")
