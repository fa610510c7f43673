"""The types of all that this project reads from a checkpoint, and the check of a file's version and content."""

from collections.abc import Iterator, Mapping
from reprlib import repr as shortened
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    model_validator,
)
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.limits import Text
from autoencoder.models.module import FORMAT_VERSION

MOST_SETTINGS = 10_000  # numbers, names and lists of a model: a list of a million layers would take minutes to build
FileName = Annotated[str, Field(pattern=r"^[^\x00]+$")]
MISSING: Any = None  # default of an entry that may be missing, but not be None


class Entries(BaseModel):
    """A dict with these entries, and any others beside them."""

    model_config = ConfigDict(strict=True, extra="allow", arbitrary_types_allowed=True)


class PartSettings(Entries):
    target: Text = Field(alias="_target_")


class ModelSettings(Entries):
    network: PartSettings = MISSING
    bottleneck: PartSettings = MISSING
    corruption: PartSettings = MISSING
    loss: PartSettings = MISSING


def _check_settings(settings: Any) -> Any:
    for count, value in enumerate(_values(settings)):
        if count >= MOST_SETTINGS:
            raise ValueError(f"must have at most {MOST_SETTINGS:,} values")
        if not isinstance(value, dict | list | tuple | str | int | float | None):
            raise ValueError(f"must hold numbers, strings, lists and dicts of these, got {shortened(value)}")
    return settings


def _values(settings: Any) -> Iterator[Any]:
    yield settings
    if isinstance(settings, dict | list | tuple):
        for one in settings.values() if isinstance(settings, dict) else settings:
            yield from _values(one)


def _check_finite(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(bool(one.isfinite().all()) for one in weights.values()):
        raise ValueError("has infinite or NaN weights, since training diverged")
    return weights


class Model(Entries):
    """What both a checkpoint and an export hold."""

    model: Text
    hyper_parameters: Annotated[ModelSettings, BeforeValidator(_check_settings)]
    state_dict: Annotated[dict[Text, Tensor], AfterValidator(_check_finite)]


class Position(Entries):
    epoch: NonNegativeInt
    dealt: NonNegativeInt


class Data(Entries):
    """The state of a data module."""

    dataset: Text
    val_size: NonNegativeInt
    train_images: NonNegativeInt = 0
    test_images: NonNegativeInt = 0
    fingerprint: Text = ""
    position: Position | None = None

    @model_validator(mode="after")
    def _is_old_or_complete(self) -> Self:
        known = {"train_images", "test_images", "fingerprint"}
        if len(known & self.model_fields_set) not in (0, len(known)):
            raise ValueError(f"must have {', '.join(sorted(known))}, or none of them, as in older versions")
        return self


class DataSettings(Entries):
    data_dir: FileName = "data"
    path: FileName = "data"
    folder: FileName | None = None


class RandomStates(Entries):
    python: tuple[Literal[3], tuple[NonNegativeInt, ...], float | None]
    numpy: tuple[Literal["MT19937"], Tensor, Annotated[int, Field(ge=0, le=624)], Literal[0, 1], float]
    torch: Tensor
    cuda: list[Tensor]


class BestAndLast(Entries):
    best_score: float | None
    validated_step: NonNegativeInt = 0
    random_states: list[RandomStates] | RandomStates  # of each process; of one, in older checkpoints


class History(Entries):
    rows: list[dict[Text, float]]


class FitClock(Entries):
    seconds: NonNegativeFloat


class Callbacks(Entries):
    history: History = Field(MISSING, alias="History")
    clock: FitClock = Field(MISSING, alias="FitClock")
    best_and_last: BestAndLast = Field(MISSING, alias="BestAndLast")
    __pydantic_extra__: dict[str, dict[str, Any]]


class EpochSoFar(Entries):
    sums: dict[Text, float]
    images: NonNegativeInt
    measured: dict[Text, float]


class OptimizerState(Entries):
    state: dict[int | str, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class Counts(Entries):
    """Lightning's counts of epochs, batches and steps, in dicts of any depth."""

    __pydantic_extra__: "dict[str, NonNegativeInt | bool | Counts]"


class Progress(Counts):
    ready: NonNegativeInt
    completed: NonNegativeInt
    started: NonNegativeInt
    processed: NonNegativeInt


class TotalAndCurrent(Counts):
    total: Progress
    current: Progress


class BatchProgress(TotalAndCurrent):
    is_last_batch: bool


class FitLoop(Entries):
    epochs: TotalAndCurrent = Field(alias="epoch_progress")
    batches: BatchProgress = Field(alias="epoch_loop.batch_progress")
    optimizer: Counts = Field(alias="epoch_loop.automatic_optimization.optim_progress")
    scheduler: Counts = Field(alias="epoch_loop.scheduler_progress")
    steps: Counts = Field(alias="epoch_loop.state_dict")


class Loops(Entries):
    fit_loop: FitLoop


class Checkpoint(Model):
    """A checkpoint; one of weights alone lacks the entries that have a default here."""

    version: Annotated[Text, Field(alias="pytorch-lightning_version", pattern=r"^\d+(\.\d+)+")]
    epoch: NonNegativeInt = 0
    global_step: NonNegativeInt = 0
    datamodule_hyper_parameters: DataSettings = MISSING
    callbacks: Callbacks = MISSING
    loops: Loops = MISSING
    optimizer: Text = ""
    optimizer_states: list[OptimizerState] = []
    lr_schedulers: list[dict[str, Any]] = []
    epoch_so_far: EpochSoFar = MISSING
    logs: dict[str, NonNegativeInt] = {}
    logger_runs: dict[str, str] = {}

    @model_validator(mode="after")
    def _names_its_optimizer(self) -> Self:
        if self.optimizer_states and not self.optimizer:
            raise ValueError("it has optimizer_states, but optimizer, the name of the class, is missing")
        return self


def check_version(content: Mapping[str, Any], name: str) -> None:
    """Raises: InputError for a checkpoint or an export of a later version of this project.

    Args: content, of the file; name, of the file in messages.
    """
    version = content.get("format_version", 0)
    if type(version) is not int or version < 0:
        raise InputError(f"{name} is broken: format_version must be a number from 0, got {shortened(version)}")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{name} is of a later version of this project, its format is {version} and this version reads up to "
            f"{FORMAT_VERSION}: update the project"
        )


def check_entries(content: Any, kind: type[Entries], name: str) -> None:
    """Raises: InputError for the first entry of `content` that is missing or of a wrong type; arguments as above."""
    try:
        kind.model_validate(content)
    except ValidationError as error:
        fault = max(error.errors(include_url=False), key=lambda one: len(one["loc"]))  # of a union, the closest
        said = fault["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
        if fault["type"] == "missing":
            said = "is missing"
        elif fault["type"] != "value_error":
            said += f", got {shortened(fault['input'])}"
        entry = ".".join(map(str, fault["loc"]))
        raise InputError(f"{name} is broken: {f'{entry} {said}'.strip()}: use another one") from None
