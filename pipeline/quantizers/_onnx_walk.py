"""An ONNX graph node by node, over a few images at once: what can be changed before the next node reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import onnx

from pipeline.quantizers.onnx_file import opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # One array an image.
    Values = list[NDArray[Any]]
    Constants = Mapping[str, NDArray[Any]]


class Walk:
    """Gives the nodes of a graph in order, each with what its inputs are by then.

    Attributes:
        constants: by name, also those that nodes compute of constants alone.
        values: what nodes gave for each image, as long as somebody is still to read it.
    """

    def __init__(self, model: onnx.ModelProto, x_NCHW: NDArray[np.float32]) -> None:
        """Args: model: takes one image a call, by its first input. x_NCHW: normalized images."""
        self.model = model
        self.constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        self.values: dict[str, Values] = {model.graph.input[0].name: list(x_NCHW[:, None])}

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """Each node, to be computed before the next one is asked for."""
        readers = Counter(name for node in self.model.graph.node for name in node.input)
        for node in self.model.graph.node:
            yield node
            for name in node.input:
                readers[name] -= 1
                if not readers[name]:
                    self.values.pop(name, None)

    def compute(self, node: onnx.NodeProto) -> None:
        """Keep what the node gives."""
        constant = not any(name in self.values for name in node.input)
        for name, arrays in zip(filter(None, node.output), self.answers(node), strict=True):
            if constant:
                self.constants[name] = arrays[0]
            else:
                self.values[name] = arrays

    def answers(self, node: onnx.NodeProto, replaced: Constants | None = None) -> list[Values]:
        """What the node gives: for each of its outputs, for each image; for one where it reads constants alone.

        Args:
            replaced: constants to compute with in place of its inputs of these names.
        """
        constants = {**self.constants, **(replaced or {})}
        known = {name: constants[name] for name in node.input if name in constants}
        read = {name: self.values[name] for name in node.input if name in self.values and name not in known}
        images = [dict(zip(read, arrays, strict=True)) for arrays in zip(*read.values(), strict=True)] or [{}]
        session = self._session(node, known, images[0])
        return [list(arrays) for arrays in zip(*(session.run(None, image) for image in images), strict=True)]

    def _session(self, node: onnx.NodeProto, constants: Constants, image: Constants) -> Any:
        """The node alone, opened."""
        inputs = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in image.items()
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        stored = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
        graph = onnx.helper.make_graph([node], "node", inputs, outputs, stored)
        kind = {"opset_imports": self.model.opset_import, "ir_version": self.model.ir_version}
        return opened(onnx.helper.make_model(graph, **kind))
