"""A browser to look at pages with, and a campaign whose variants took turns."""

import datetime
import os
import shutil

import numpy as np
import pytest

from android_bench.campaign.pace import PACE, judge_heats
from android_bench.campaign.result import read_result
from android_bench.records import Flag, HeatChild, HeatRecord, Pairing, TurnSamples
from android_bench.statistics.heat_order import next_heat
from android_bench.statistics.pace import Burst, Pace, describe_pace
from pfd_models.plain_data import to_plain

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]


def _missing(reason):
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    """Start Debian's Chromium with an empty profile."""
    program = shutil.which("chromium")
    if program is None:
        _missing("Chromium is not installed (Debian: apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("Playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=program,
            headless=True,
            args=FLAGS,
            viewport={"width": 1200, "height": 900},
        )
        yield context
        context.close()


class Opened:
    """A page that has been opened, and everything it said and asked for."""

    def __init__(self, browser, path, scheme="light"):
        self.page = browser.new_page()
        self.complaints, self.requests = [], []
        self.page.emulate_media(color_scheme=scheme)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(
            "[...document.querySelectorAll('.plot')].every(d => d.querySelector('.main-svg'))",
            timeout=30_000,
        )

    def evaluate(self, script):
        return self.page.evaluate(script)

    def drawn(self):
        """Give each figure's traces, shapes and area."""
        return self.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll(".plot")].map(d => [d.id, {
                traces: d.data.length,
                shapes: d.querySelectorAll(".scatterlayer .trace path").length,
                area: d.clientWidth * d.clientHeight}]))"""
        )


@pytest.fixture
def opened(browser, tmp_path):
    pages = []

    def open_page(html, scheme="light"):
        path = tmp_path / f"report{len(pages)}.html"
        path.write_text(html, encoding="utf-8")
        pages.append(Opened(browser, path, scheme))
        return pages[-1]

    yield open_page
    for one in pages:
        one.page.close()


@pytest.fixture(scope="package")
def kept_pages(browser):
    """Pages that tests only look at, by their text and colour scheme."""
    return {}


@pytest.fixture
def looked_at(browser, kept_pages, tmp_path):
    """Open a page, or take it as another test left it that looked at it too; change nothing."""

    def open_page(html, scheme="light"):
        if (html, scheme) not in kept_pages:
            path = tmp_path / "report.html"
            path.write_text(html, encoding="utf-8")
            kept_pages[html, scheme] = Opened(browser, path, scheme)
        return kept_pages[html, scheme]

    return open_page


# -- heats -------------------------------------------------------------------------------------

RATIO = 0.9  # of "ours" to "orig", in every weather
COSTS = (0.2, 0.05, 0.0, 0.0, 0.0)  # of the places of a turn that follows another's
STORM, SLOWED = 3, 1.3  # number of the heat in which a neighbour slows the device, and by how much
ASTRAY = 2  # number of the heat in which one turn of the baseline runs on a wrong core
# Number and attempt: the one in the middle, the other before its first turn.
DISTURBED = {(1, 0): Flag.ENGINE_CRASHED, (4, 0): Flag.HARNESS_KILLED}


class MakeHeats:
    """Makes campaigns of heats, as above."""

    def __init__(self, make):
        self.make = make

    def campaign(self, **changes):
        return self.make.campaign(**({"pairing": Pairing.TURNS} | changes))

    def pace(self, labels=("orig", "ours")):
        bursts = tuple(
            Burst(label=label, discards=2, kept=3, first_ns=1.2e6 * factor, settled_ns=1e6 * factor)
            for label, factor in zip(labels, (1.0, RATIO), strict=False)
        )
        return Pace(bursts=bursts, turn_seconds=0.2)

    def fill(self, store, good=9, *, stopped=True, disturbed=True, **changes):
        """Store a campaign with so many good heats, and the disturbed ones among them."""
        record = self.campaign(**changes)
        pace = self.pace(record.design.labels)
        files = [self.make.artifact("orig"), self.make.artifact("ours")]
        store.add_campaign(record, self.make.device(), files)
        mine = {"campaign_id": record.campaign_id}
        told = self.make.event(PACE, message=describe_pace(pace), data=to_plain(pace), **mine)
        store.add_event(told)
        judged = []
        while sum(not heat.flags for heat in judged) < good:
            plan = next_heat(record.design, pace, judged)
            flags = DISTURBED.get((plan.number, plan.attempt)) if disturbed else None
            heat = self._heat(record, plan, len(judged), frozenset({flags} - {None}))
            store.add_heat(heat)
            judged += judge_heats(record, pace, [heat])
        if stopped:
            store.add_event(self.make.event("stopped", message="precision reached", **mine))
        return read_result(store, record.campaign_id)

    def _heat(self, record, plan, ran, flags):
        turns = len(plan.order)
        if Flag.ENGINE_CRASHED in flags:
            turns //= 2
        if Flag.HARNESS_KILLED in flags:
            turns = 0
        order = np.array(plan.order[:turns], dtype=np.int16)
        samples = self._samples(record, plan, order, np.random.default_rng([7, ran]))
        lengths = samples.sum(axis=1)
        before_ns = int(7e12 + ran * 1.5e9)  # the device was booted long ago
        begin = before_ns + 1_000_000 + np.concatenate([[0], np.cumsum(lengths + 1000)])[:turns]
        cpus = np.ones(samples.size, np.int16)
        if plan.number == ASTRAY:
            first = int(np.flatnonzero(order == plan.children.index(record.design.baseline))[0])
            cpus[first * len(COSTS)] = 0
        end_ns = int(begin[-1] + lengths[-1]) if turns else before_ns
        started = datetime.datetime.fromisoformat(record.started_utc)
        return HeatRecord(
            campaign_id=record.campaign_id,
            number=plan.number,
            attempt=plan.attempt,
            started_utc=(started + datetime.timedelta(seconds=2 + 1.5 * ran)).isoformat(),
            children=tuple(
                HeatChild(
                    label=label,
                    burst=burst.inferences,
                    discards=burst.discards,
                    load_ns=5_000_000,
                    first_inference_ns=2_000_000,
                    vm_hwm_kib=40_000,
                )
                for label, burst in zip(plan.children, plan.bursts, strict=True)
            ),
            turns=TurnSamples(
                children=plan.children,
                turn_child=order,
                turn_first=np.arange(turns + 1) * len(COSTS),
                turn_begin_ns=begin,
                turn_end_ns=begin + lengths,
                turn_freq_khz=np.full(turns, 2_900_000),
                samples_ns=samples.reshape(-1),
                cpus=cpus,
            ),
            before=self.make.reading(before_ns, 40 + 0.5 * ran),
            after=self.make.reading(end_ns + 1_000_000, 40.4 + 0.5 * ran),
            flags=flags,
            harness_version="1",
        )

    def _samples(self, record, plan, order, rng):
        """(turns, places) ns: what each takes by itself, its place in the turn, the weather."""
        variants = [record.design.variant_of(label) for label in plan.children]
        own = np.array([1e6 if one == record.design.baseline else RATIO * 1e6 for one in variants])
        costs = np.tile(1 + np.array(COSTS), (len(order), 1))
        costs[1:][order[1:] == order[:-1]] = 1.0  # its own turn displaced nothing
        weather = SLOWED if plan.number == STORM else 1.0
        noise = np.exp(rng.normal(0, 0.002, costs.shape))
        return (own[order][:, None] * costs * weather * noise).astype(np.int64)


@pytest.fixture
def make_heats(make):
    return MakeHeats(make)


@pytest.fixture
def heats_result(store, make_heats):
    return make_heats.fill(store)
