"""docs/llm-families.md says what is so: each row is computed again on a tiny LLM of the family."""

import pytest
from fixtures.families.cells import COLUMNS, HEAD, TABLE, cells, line
from fixtures.families.llms import FAMILIES

ROWS = {
    row.split("|")[1].strip(): row
    for row in TABLE.read_text(encoding="utf-8").removeprefix(HEAD).splitlines()[2:]
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_true(family):
    assert ROWS[family] == line([family, *cells(family)])


def test_the_table_has_these_families_and_columns():
    assert TABLE.read_text(encoding="utf-8").startswith(HEAD + line(["family", *COLUMNS]))
    assert list(ROWS) == list(FAMILIES)
