"""QuantizeLinear, DequantizeLinear before an output of the graph -> nothing.

Matches a float value that is quantized, dequantized and then leaves the graph, and lets it leave as it is:
the nearest that logits can be to the sums they are made of. Not equal: without the last rounding, which
makes ties of close answers. For files that other quantizers made; ours end like this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, maker

if TYPE_CHECKING:
    import onnx_ir


def float_logits(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    for index, output in enumerate(model.graph.outputs):
        dequantize = maker(output, DEQUANTIZE)
        quantize = maker(dequantize.inputs[0], QUANTIZE) if dequantize is not None else None
        source = quantize.inputs[0] if quantize is not None else None
        if dequantize is None or source is None or source.producer() is None or list(output.consumers()):
            continue
        name = output.name
        model.graph.outputs[index] = source
        output.name, source.name = f"{name}_rounded", name
    return model
