"""Raw samples for one's own analysis as CSV: one row a timed inference."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from android_bench.campaign.result import CampaignResult
from android_bench.report.exports._samples import COLUMNS, rows_of

ENDING = ".csv"


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return one file with the samples of all campaigns; what does not apply is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerows(rows_of(result))
    return {"": text.getvalue().encode()}
