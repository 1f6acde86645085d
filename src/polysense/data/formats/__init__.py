"""Forms in which people have data, beside manifests and shards: a file each, and the table of them.

A form is a module with two functions: `takes(path)` says whether a path is of this form, and
`lines_of(path, modalities)` yields its samples as lines of a manifest.
"""

from types import ModuleType

from polysense.data.formats import folder, table

FORMATS: dict[str, ModuleType] = {"folder": folder, "table": table}

TAKEN = (
    "a manifest (.jsonl, or a JSON list), a table (.csv, .tsv, .parquet), a folder of files with "
    "their texts (cat.png, cat.txt) or with metadata.jsonl or metadata.csv, or shards (.tar)"
)
