"""From a drawn figure to SVG text that fits into a page: no ids that clash, no fixed ink, no inline style."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in colours that nothing else has, then replaced by the colour of the text around the picture.
INK, QUIET = "#010203", "#040506"
INKS = re.compile("#010203|#040506")
NAMESPACE = re.compile(r"\{.*?\}")
ATTRIBUTES_WITH_ID = {"id", "href", "clip-path"}
ID = re.compile(r"^(#|url\(#|)")
NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def finished(figure: Figure, prefix: str, label: str, titles: Mapping[str, str]) -> str:
    """The figure as one ``<svg>`` element.

    Args:
        prefix: begins every id, so that two pictures can share a page.
        label: the picture in words, for those who do not see it.
        titles: by the gid of a drawn thing, what it says when pointed at.
    """
    root = ElementTree.fromstring(_drawn(figure))  # noqa: S314  our own text, written a line above
    for element in root.iter():
        _simplify(element, prefix)
    for element in root.iter():
        _title(element, titles.get(element.get("id", "").removeprefix(prefix)))
    for definitions in root.findall("./defs[style]"):
        root.remove(definitions)
    del root.attrib["height"], root.attrib["width"]
    root.attrib.update({"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": label})
    root.attrib.update({"stroke-linejoin": "round", "stroke-linecap": "butt", "fill": "currentColor"})
    root.attrib["font-family"] = "system-ui, sans-serif"
    return ElementTree.tostring(root, encoding="unicode")


def _drawn(figure: Figure) -> str:
    stream = io.StringIO()
    with warnings.catch_warnings():
        # The page's own font draws the text; a letter that the measuring font lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(stream, format="svg", metadata=NO_METADATA, transparent=True)
    return stream.getvalue()


def _simplify(element: ElementTree.Element, prefix: str) -> None:
    element.tag = NAMESPACE.sub("", element.tag)
    attributes = {NAMESPACE.sub("", name): INKS.sub("currentColor", text) for name, text in element.attrib.items()}
    # A strict content policy forbids style attributes; as attributes of their own they are allowed.
    for declaration in filter(None, attributes.pop("style", "").split(";")):
        name, _, text = declaration.partition(":")
        attributes[name.strip()] = text.strip()
    # The page chooses the font.
    attributes.pop("font-family", None)
    for name in ATTRIBUTES_WITH_ID & attributes.keys():
        attributes[name] = ID.sub(rf"\g<1>{prefix}", attributes[name])
    element.attrib.clear()
    element.attrib.update(attributes)


def _title(element: ElementTree.Element, text: str | None) -> None:
    if text is not None:
        title = ElementTree.Element("title")
        title.text = text
        element.insert(0, title)
