"""Making a page that needs nothing else: template, figures and scripts in one file.

Names from outside are escaped by Jinja (autoescape) and `escape_for_plot`; beyond that a page
forbids itself every script but its own two, by their hashes, and every connection, through its
content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from android_bench.report import wording
from android_bench.report.escape import escape_controls
from android_bench.statistics.comparison import Verdict
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.undisturbed import explain_disagreement

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["render_page"]

_DRAW = """
const config = {responsive: true, displaylogo: false};
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [id, figure] of Object.entries(figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, config);
}
"""


def render_page(template: str, figures: Mapping[str, go.Figure], **values: Any) -> str:
    """Return a page.

    Args:
        template: A file of this folder.
        figures: The id of a place on the page to what is drawn there.
        values: What the template reads.
    """
    scripts = (_without_end_tags(_plotly_source()), _DRAW)
    page: str = _template(template).render(
        figures=set(figures),
        figures_json=_figures_json(figures),
        scripts=scripts,
        script_hashes=[_csp_hash(script) for script in scripts],
        **values,
    )
    return page.strip() + "\n"


def _template(name: str) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("android_bench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Plain text, which is all that comes from outside; markup has a class of its own.
        finalize=_escape_text,
    )
    for filter_name in wording.__all__:
        environment.filters[filter_name] = getattr(wording, filter_name)
    environment.tests["disturbed"] = is_disturbed
    environment.globals["Verdict"] = Verdict
    environment.globals["explain_disagreement"] = explain_disagreement
    return environment.get_template(name)


def _escape_text(value: Any) -> Any:
    return escape_controls(value, longest=4000) if type(value) is str else value


def _plotly_source() -> str:
    from plotly.offline import get_plotlyjs

    # The browser reads every line end as \n before it takes the hash.
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


def _without_end_tags(script: str) -> str:
    return script.replace("</script", r"<\/script")


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _figures_json(figures: Mapping[str, go.Figure]) -> str:
    """Return the figures as JSON that can stand inside a script element."""
    plain = {name: json.loads(figure.to_json()) for name, figure in figures.items()}
    text = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
