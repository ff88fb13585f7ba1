"""Metrics of a training run: the rows of `run.json` and `metrics.csv`. Loads no torch."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from asem.config import MAX_COUNT, Config

POOLED = "pooled"
"""Region of a row whose scores are those of the voxels of all regions."""
SCORE_KEYS = ("validation_loss", "precision", "recall", "f1")
COUNT_KEYS = ("true_positives", "false_positives", "false_negatives", "voxels")
VoxelCount = Annotated[int, Field(ge=0)]


class ValidationScores(Config):
    """Scores of one validation; without validation all are None."""

    validation_loss: float | None = None
    """Loss of the tiles, averaged by their labelled voxels; None if it is not a finite number."""
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    true_positives: VoxelCount | None = None
    """Voxels that are foreground in prediction and labels, outside the exclusion zone as all."""
    false_positives: VoxelCount | None = None
    """Voxels that are foreground in the prediction only."""
    false_negatives: VoxelCount | None = None
    """Voxels that are foreground in the labels only."""
    voxels: VoxelCount | None = None
    """Scored voxels, with the background."""


class RegionScores(ValidationScores):
    """Scores of one validation region."""

    region: str
    """Its name (`asem.training.region_names`)."""


class MetricsRow(ValidationScores):
    """Metrics of one validation; its own scores are pooled over all regions."""

    iteration: int = Field(ge=0, le=MAX_COUNT)
    train_loss: float
    """Mean of the training losses since the last validation."""
    seconds: float
    """Time of training and validation so far."""
    regions: tuple[RegionScores, ...] = ()
    """Scores of each region, in the order of the training file."""

    def scores_by_region(self) -> Iterator[tuple[str, ValidationScores]]:
        """Yield `POOLED` and the pooled scores, then name and scores of each region."""
        yield POOLED, self
        for scores in self.regions:
            yield scores.region, scores

    def rename_regions(self, names: Sequence[str]) -> Self:
        """Return the row with other names of its regions, in the same order."""
        pairs = zip(self.regions, names, strict=False)
        renamed = (scores.model_copy(update={"region": name}) for scores, name in pairs)
        return self.model_copy(update={"regions": tuple(renamed)})

    def describe(self) -> dict[str, Any]:
        """Return the metrics for people: pooled, and a list of the scores of each region."""
        keys = (*SCORE_KEYS, "voxels")
        return {
            "iteration": self.iteration,
            "train_loss": self.train_loss,
            **{key: getattr(self, key) for key in keys},
            "seconds": self.seconds,
            "regions": [scores.model_dump(include={"region", *keys}) for scores in self.regions],
        }
