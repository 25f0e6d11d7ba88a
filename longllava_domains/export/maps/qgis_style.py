"""Styles for QGIS: one in QML for each layer of a GeoPackage.

QGIS reads styles from the table ``layer_styles`` of the GeoPackage and applies the one marked
as default. Outlines only, so that the scene stays visible below.
"""

import sqlite3
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

_DETECTION_COLOUR: Final = "255,127,0,255"
# Dark-blue, grey and vermilion of Okabe and Ito, told apart by colour-blind readers.
_STATUS_COLOURS: Final = {
    "seen": "0,114,178,255",
    "skipped": "128,128,128,255",
    "failed": "213,94,0,255",
}

_TABLE: Final = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
    f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


def detection_style() -> str:
    """Return QML: orange outlines, each labelled with its class."""
    root = _root({"type": "singleSymbol"}, {"": _DETECTION_COLOUR})
    labels = ElementTree.SubElement(root, "labeling", type="simple")
    settings = ElementTree.SubElement(labels, "settings")
    ElementTree.SubElement(
        settings,
        "text-style",
        fieldName="class",
        isExpression="0",
        fontSize="8",
        textColor=_DETECTION_COLOUR,
    )
    return _spelled(root)


def footprint_style() -> str:
    """Return QML: outlines coloured by what became of the view."""
    return _spelled(_root({"type": "categorizedSymbol", "attr": "status"}, _STATUS_COLOURS))


def embed_styles(path: Path, styles: dict[str, str]) -> None:
    """Write styles into a GeoPackage, as the default of their layers.

    Args:
        path: A GeoPackage.
        styles: Layer name -> QML.

    Raises:
        sqlite3.Error: The file is no GeoPackage, or cannot be written.
    """
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(_TABLE)
            connection.execute(
                "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
                "VALUES ('layer_styles', 'attributes', 'layer_styles')"
            )
            connection.executemany(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
                "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, "
                "owner) SELECT '', '', table_name, column_name, table_name, ?, '', 1, "
                "'longllava-domains', '' FROM gpkg_geometry_columns WHERE table_name = ?",
                [(qml, layer) for layer, qml in styles.items()],
            )
    finally:
        connection.close()


def _root(renderer_kind: dict[str, str], colours: dict[str, str]) -> ElementTree.Element:
    """Return the QML tree of a renderer with one outline symbol for each value."""
    is_categorized = "attr" in renderer_kind
    root = ElementTree.Element(
        "qgis",
        version="3.22.0",
        styleCategories="Symbology|Labeling",
        labelsEnabled="0" if is_categorized else "1",
    )
    renderer = ElementTree.SubElement(root, "renderer-v2", renderer_kind)
    if is_categorized:
        categories = ElementTree.SubElement(renderer, "categories")
        for number, value in enumerate(colours):
            ElementTree.SubElement(
                categories, "category", symbol=str(number), value=value, label=value, render="true"
            )
    symbols = ElementTree.SubElement(renderer, "symbols")
    for number, colour in enumerate(colours.values()):
        symbol = ElementTree.SubElement(
            symbols, "symbol", type="fill", name=str(number), alpha="1", clip_to_extent="1"
        )
        layer = ElementTree.SubElement(
            symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
        )
        options = ElementTree.SubElement(layer, "Option", type="Map")
        for name, text in (
            ("style", "no"),
            ("outline_style", "solid"),
            ("outline_color", colour),
            ("outline_width", "0.5"),
            ("outline_width_unit", "MM"),
        ):
            ElementTree.SubElement(options, "Option", type="QString", name=name, value=text)
    return root


def _spelled(root: ElementTree.Element) -> str:
    text = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}"
