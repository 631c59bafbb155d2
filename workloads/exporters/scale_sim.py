"""A network as SCALE-Sim 3.0.0 takes it: lists of convolutions and of matrix products, an array, a layout.

SCALE-Sim knows neither timesteps nor zeros in activations: what is exported is the dense work of each layer. Source of
the formats: `topology_utils.py`, `layout_utils.py` and `scale_config.py` of the package scalesim, version 3.0.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtl_models.errors import InputError
from workloads.atomic import replacing
from workloads.exporters.folder import make_folder
from workloads.network import CONSTANT, INPUT, Layer, Network

DATAFLOWS = ("os", "ws", "is")  # output, weight, input stationary
TOPOLOGY, GEMM, LAYOUT, CONFIG = "topology.csv", "gemm.csv", "layout.csv", "scale.cfg"

_CONFIG = """[general]
run_name = {name}
[architecture_presets]
ArrayHeight: {array.rows}
ArrayWidth: {array.columns}
IfmapSramSzkB: {array.sram_kib}
FilterSramSzkB: {array.sram_kib}
OfmapSramSzkB: {array.sram_kib}
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {array.dataflow}
Bandwidth: 10
ReadRequestBuffer: 512
WriteRequestBuffer: 512
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""


@dataclass(frozen=True)
class SystolicArray:
    """SCALE-Sim's machine: an array, its dataflow, and the size of each of its three memories.

    Raises InputError for a size below 1 and an unknown dataflow.
    """

    rows: int = 32
    columns: int = 32
    dataflow: str = "os"
    sram_kib: int = 1024

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "sram_kib"):
            if getattr(self, name) < 1:
                raise InputError("wrong value", f"systolic array: {name}", getattr(self, name), "a whole number >= 1")
        if self.dataflow not in DATAFLOWS:
            raise InputError("unknown dataflow", "systolic array", self.dataflow, ", ".join(DATAFLOWS))


def write_scale_sim(network: Network, folder: Path, array: SystolicArray, images: int = 1) -> tuple[Path, ...]:
    """Write the list of convolutions, that of matrix products, configuration and layout into `folder`.

    Raises InputError for fewer than one image, a name with a comma and a folder that cannot be written.
    """
    if images < 1:
        raise InputError("wrong value", "--images", images, "a whole number >= 1")
    files = {
        TOPOLOGY: convolutions(network),
        GEMM: matrix_products(network, images),
        LAYOUT: "Layer,\n",
        CONFIG: configuration(network.name, array),
    }
    make_folder(folder)
    for name, text in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return tuple(folder / name for name in files)


def convolutions(network: Network) -> str:
    """Return the forward pass of one image and one timestep as convolutions, for SCALE-Sim's `-i conv`.

    Planes are padded beforehand, and rows and columns that no kernel reaches are cut off, because SCALE-Sim rounds the
    number of outputs up. Linear layers are whole planes; biases, pooling and identity shortcuts, which multiply
    nothing, are left out.
    """
    lines = ["Layer, IFMAP height, IFMAP width, Filter height, Filter width, Channels, Filters, Strides,"]
    for layer in _weighted(network):
        height = (layer.conv_height - 1) * layer.stride + layer.kernel_height
        width = (layer.conv_width - 1) * layer.stride + layer.kernel_width
        shape = (height, width, layer.kernel_height, layer.kernel_width, layer.in_channels, layer.out_channels)
        lines.append(", ".join([layer.name, *map(str, shape), str(layer.stride)]) + ",")
    return "\n".join(lines) + "\n"


def matrix_products(network: Network, images: int = 1) -> str:
    """Return the whole training step of `images` images, all timesteps, as dense matrix products, for `-i gemm`.

    A layer with P positions, R S C weights a channel and M channels: forward (P x R S C) (R S C x M); backward, but in
    layers that take the input, (P x M) (M x R S C), to be added up where receptive fields overlap; update
    (R S C x P) (P x M). P counts timesteps and images.
    """
    lines = ["Layer, M, N, K,"]
    for layer in _weighted(network):
        positions = images * network.timesteps * layer.conv_positions
        products = [("forward", positions, layer.out_channels, layer.elements)]
        if layer.source != INPUT:
            products.append(("backward", positions, layer.elements, layer.out_channels))
        products.append(("update", layer.elements, layer.out_channels, positions))
        lines += [f"{layer.name}.{name}, {m}, {n}, {k}," for name, m, n, k in products]
    return "\n".join(lines) + "\n"


def configuration(name: str, array: SystolicArray) -> str:
    """Return SCALE-Sim's configuration of `array`, bandwidth as it is needed; sparsity, which is that of weights, off.

    Buffers of requests and banks of layouts, which are not used, have the sizes of SCALE-Sim's own examples.
    """
    return _CONFIG.format(name=name, array=array)


def _weighted(network: Network) -> Iterator[Layer]:
    return (layer for layer in network.layers if layer.source != CONSTANT)
