"""Somebody's float ONNX file, read, and refused with a reason where int8 cannot be made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import onnx

OLDEST, OPSET = 13, 21  # before 13, DequantizeLinear knows no scale for each channel
INTEGER = {
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "MatMulNBits"),
    *("QGemm", "QAttention", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
}
FUSED = "com.microsoft"  # operators that ONNX Runtime makes of standard ones, some for one kind of processor
ONE_FOLDER = "keep the file in one folder with its data, under the name that it was saved with"


def read_float(path: Path, convert: bool = False) -> onnx.ModelProto:
    """A float32 ONNX file with its external data, of an operator set that int8 can be written in.

    Args:
        convert: raise an operator set that is too old.

    Raises:
        UsageError: it is no ONNX file, quantized already, of other numbers than float32, or too old.
        UnavailableError: its external data is missing, or the conversion failed.
    """
    model = _loaded(path)
    _refuse_quantized(model, path)
    _refuse_others(model, path)
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)
    if opset >= OLDEST:
        return model
    if not convert:
        fix = f"add --convert to raise it to {OPSET}, or export it again"
        raise UsageError(f"{path} is of operator set {opset}; int8 needs {OLDEST} or later", fix)
    return _raised(model, path)


def _loaded(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise UsageError(f"{path} {what}", "give a float ONNX file")
    try:
        model = onnx.load(path)
    except DecodeError:
        raise UsageError(f"{path} is no ONNX file", "give a float ONNX file") from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UnavailableError(f"{path} cannot be read: {str(error).splitlines()[0]}", ONE_FOLDER) from None
    return _without_inputs_that_are_weights(model)


def _without_inputs_that_are_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Before version 4 of the format, every weight had to be an input too; in place."""
    weights = {value.name for value in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(images)
    model.ir_version = max(model.ir_version, 4)
    return model


def _refuse_quantized(model: onnx.ModelProto, path: Path) -> None:
    images = {value.name for value in model.graph.input}  # that are dequantized are pixels of a float network
    nodes = [node for node in model.graph.node if node.op_type != "DequantizeLinear" or node.input[0] not in images]
    found = sorted({node.op_type for node in nodes if node.op_type in INTEGER or "QLinear" in node.op_type})
    if found:
        raise UsageError(f"{path} is quantized already: it has {', '.join(found)}", "give the float file it came from")


def _refuse_others(model: onnx.ModelProto, path: Path) -> None:
    """What neither ONNX Runtime's quantizer nor our rewrites understand."""
    from onnx import TensorProto

    found = sorted({node.op_type for node in model.graph.node if node.domain.startswith(FUSED)})
    if found:
        cause = f"{path} was optimized already: it has {', '.join(found)} of ONNX Runtime's own"
        raise UsageError(cause, "give the file that ONNX Runtime made it from")
    for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE):
        if any(value.data_type == kind and len(value.dims) > 1 for value in model.graph.initializer):
            name = TensorProto.DataType.Name(kind).lower()
            raise UsageError(f"{path} has weights of {name}; int8 is made of float32", "export it in float32")


def _raised(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        cause = f"{path} cannot be raised to operator set {OPSET}: {str(error).splitlines()[0]}"
        raise UnavailableError(cause, "export it again with a newer operator set") from None


def one_image(model: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Let the input be one image (1, *shape), and the output one row, in place; shapes in between are found again."""
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, *shape), strict=True):
        dimension.dim_value = size
    for output in model.graph.output:
        for dimension in output.type.tensor_type.shape.dim[:1]:
            dimension.dim_value = 1
    del model.graph.value_info[:]
    return model
