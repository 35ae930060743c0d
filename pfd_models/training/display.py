"""What a person sees of a run: bars on a terminal, a line an epoch everywhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pfd_models.training.config import RunConfig
from pfd_models.training.progress import EpochRecord
from pfd_models.training.progress import Progress as RunProgress

__all__ = ["Display"]


class Display:
    """Reports on standard error; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task("opening the data", total=None)
        self._live = self._console.is_terminal

    def __enter__(self) -> Display:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._bars.stop()

    def begin(self, config: RunConfig, params: int, images: tuple[int, int]) -> None:
        """Say what is trained."""
        spec, recipe = config.spec, config.recipe
        self.say(
            f"{spec.model}/{spec.variant} at {spec.resolution}x{spec.resolution}, {params:,} "
            f"parameters; {config.dataset}, {images[0]:,} + {images[1]:,} images; recipe "
            f"{recipe.name}, {recipe.epochs} epochs of batch {recipe.batch_size}; seed "
            f"{config.seed}; in {config.folder}"
        )

    def step(self, progress: RunProgress, steps: int, learning_rate: float) -> None:
        """Move the bar."""
        loss = progress.loss_sum / max(progress.images, 1)
        self._bars.update(
            self._task,
            completed=progress.step,
            total=steps,
            description=f"epoch {progress.epoch + 1}, loss {loss:.3f}, rate {learning_rate:g}",
        )

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Say how an epoch ended."""
        self.say(
            f"epoch {record.epoch}/{epochs}: loss {record.train_loss:.4f}, validation "
            f"{record.val_loss:.4f}, top-1 {record.top1:.2f} %, top-5 {record.top5:.2f} %, "
            f"{record.images_per_second:.0f} images/s"
        )

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, emoji=False, soft_wrap=True)
