"""What to evaluate: networks, stages of training, sizes of steps, the GPU; checked before anything is trained for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtl_models.errors import InputError
from tlm.analysis.evaluation.ablations import NOTHING, parse_groups
from tlm.analysis.evaluation.measure import sizes_to_simulate
from tlm.analysis.gpu.device import Device, check_precision, load_device
from tlm.analysis.gpu.implementation import NEURONS, implementation_names
from tlm.config import Config, load_config
from workloads.network import Network, list_networks, load_network
from workloads.training_settings import TrainingSettings, check_whole

DEFAULT_NETWORKS = "cifar-cnn"
DEFAULT_STAGES = "0,10,50,100"
DEFAULT_STEPS = 40
DEFAULT_LEARNING_RATE = 0.02
"""At 0.1, which trains the digits, the gradients of the CIFAR network die out within thirty steps."""
DEFAULT_BATCH = 64
"""Images of a step: what the H2Learn authors' public GPU code trains with."""
CAPTURED_MICRO_BATCHES = 3
"""Micro-batches captured where a step has more: two fill the pipeline, the third shows what each further one takes."""
ABLATED_MICRO_BATCHES = 2
"""Micro-batches that the ablations simulate: two are in flight at once."""
EVALUATED_IMAGES = 64
"""Held-out images that accuracy is measured on: no figure of time or energy depends on it."""
EVERYTHING = "all"


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate; lists are texts as on the command line.

    `batch` images are a step of ours, of which `images` are captured and simulated (None: up to three micro-batches);
    `training_batch` images are a step of the training that the stages come from, `learning_rate` its rate at the start;
    `gpu_batch` images are a step of the GPU.
    """

    networks: str = DEFAULT_NETWORKS
    stages: str = DEFAULT_STAGES
    steps: int = DEFAULT_STEPS
    batch: int = DEFAULT_BATCH
    images: int | None = None
    training_batch: int = 32
    learning_rate: float = DEFAULT_LEARNING_RATE
    seed: int = 0
    config: str = "h2learn"
    overrides: tuple[str, ...] = ()
    gpu: str = "V100"
    gpu_batch: int = DEFAULT_BATCH
    gpu_precision: str = "binary32"
    gpu_neuron: str = "plain"
    ablations: str = NOTHING
    ablation_stage: int | None = None
    traces: Path | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Plan:
    """Checked options."""

    options: EvaluationOptions
    networks: tuple[Network, ...]
    percents: tuple[int, ...]
    config: Config
    device: Device
    images: int
    ablations: tuple[str, ...]
    ablation_stage: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Images of the steps that are simulated."""
        return sizes_to_simulate(self.options.batch, self.images, self.config.arithmetic.micro_batch)

    @property
    def ablation_images(self) -> int:
        """Images of the steps that the ablations simulate: up to two micro-batches, whole."""
        return min(self.images, ABLATED_MICRO_BATCHES * self.config.arithmetic.micro_batch)

    def settings(self, network: Network) -> TrainingSettings:
        """Return the training that the stages of a network come from."""
        options = self.options
        return TrainingSettings(
            network,
            options.steps,
            options.steps,
            self.config.contract,
            batch=options.training_batch,
            seed=options.seed,
            learning_rate=options.learning_rate,
            capture_batch=self.images,
            evaluated=EVALUATED_IMAGES,
        )


def check_options(options: EvaluationOptions) -> Plan:
    """Return the plan of an evaluation. Raises InputError, naming the option, for what cannot be used."""
    if options.workers is not None:
        check_whole("--workers", options.workers, 1)
    for name, value in (
        ("--steps", options.steps),
        ("--batch", options.batch),
        ("--gpu-batch", options.gpu_batch),
        ("--training-batch", options.training_batch),
    ):
        check_whole(name, value, 1)
    config = load_config(options.config, options.overrides)
    device = load_device(options.gpu)
    check_precision(device, options.gpu_precision)
    if options.gpu_neuron not in implementation_names(NEURONS):
        allowed = ", ".join(implementation_names(NEURONS))
        raise InputError("unknown implementation", "--gpu-neuron", options.gpu_neuron, allowed)
    images = options.images
    if images is None:
        images = min(options.batch, CAPTURED_MICRO_BATCHES * config.arithmetic.micro_batch)
    check_whole("--images", images, 1, options.batch)
    if images > options.training_batch:
        what = "more images cannot be captured than a step of the training has"
        raise InputError(what, "--images", images, f"at most {options.training_batch}, or a larger --training-batch")
    sizes_to_simulate(options.batch, images, config.arithmetic.micro_batch)
    percents = parse_stages(options.stages)
    networks, groups = _networks(options.networks), parse_groups(options.ablations)
    stage = _ablation_stage(options.ablation_stage, percents)
    plan = Plan(options, networks, percents, config, device, images, groups, stage)
    for network in plan.networks:
        plan.settings(network).check()
    return plan


def parse_stages(text: str) -> tuple[int, ...]:
    """Return the percents of a list such as ``0,10,50,100``. Raises InputError for anything else, and twice."""
    found: list[int] = []
    for entry in text.split(","):
        word = entry.strip()
        if not word.isdecimal() or int(word) > 100:
            raise InputError("wrong value in the list", "--stages", word, "whole percents 0..100, e.g. 0,10,50,100")
        if int(word) in found:
            raise InputError("is named twice", "--stages", word)
        found.append(int(word))
    return tuple(sorted(found))


def _ablation_stage(chosen: int | None, percents: tuple[int, ...]) -> int:
    """The stage whose step the ablations simulate: the one asked for, else the one nearest to the middle."""
    if chosen is not None and chosen not in percents:
        raise InputError("is not one of the stages", "--ablation-stage", chosen, ", ".join(map(str, percents)))
    return min(percents, key=lambda percent: abs(percent - 50)) if chosen is None else chosen


def _networks(text: str) -> tuple[Network, ...]:
    names = list_networks() if text == EVERYTHING else [entry.strip() for entry in text.split(",")]
    found = []
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError("is named twice", "--networks", name)
        found.append(load_network(name))
    return tuple(found)
