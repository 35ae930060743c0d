"""Raw samples for one's own analysis as Parquet: one row a timed inference."""

from __future__ import annotations

import io
from collections.abc import Sequence

from android_bench.campaign.result import CampaignResult
from android_bench.report.exports._samples import COLUMNS, rows_of
from pfd_models.errors import InputError

ENDING = ".parquet"


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return one file with the samples of all campaigns; what does not apply is null.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise InputError(
            "Parquet needs the extra 'parquet': pip install 'pfd-mobile[parquet]', "
            "or take --format csv"
        ) from error
    rows = [row for result in results for row in rows_of(result)]
    values = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    table = pa.table(
        {
            name: pa.array(column, getattr(pa, kind)())
            for (name, kind), column in zip(COLUMNS.items(), values, strict=True)
        }
    )
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    return {"": target.getvalue()}
