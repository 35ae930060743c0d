from android_bench.campaign.blocks import make_block
from android_bench.records import Flag
from android_bench.statistics.design import BlockPlan


def test_a_run_becomes_a_block_of_its_campaign(make):
    plan = BlockPlan(index=4, round=2, position=0, attempt=1, label="orig")
    campaign, run = make.campaign(), make.block(samples_ns=(30, 20, 25)).run
    flags = frozenset({Flag.THROTTLED})
    block = make_block(
        run, campaign.campaign_id, plan, make.arm("orig"), campaign.started_utc, flags
    )
    assert block.key == (campaign.campaign_id, 4, 1)
    assert block.median_ns == 25
    assert (block.round, block.engine, block.cpu_mask) == (2, "executorch", 0b10)
    assert (block.run, block.flags) == (run, flags)
