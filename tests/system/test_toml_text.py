import tomllib

from hypothesis import given
from hypothesis import strategies as st

from asem.system.toml_text import TomlTable, format_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXT),
)


@given(st.dictionaries(TEXT, VALUES), st.lists(TEXT))
def test_what_is_written_is_read(values, comments):
    tables = [TomlTable("", values, tuple(comments)), TomlTable("[[a-table]]", values)]
    without = {key: value for key, value in values.items() if key != "a-table"}
    text = format_toml([TomlTable("", without, tuple(comments)), tables[1]])
    assert tomllib.loads(text) == {**without, "a-table": [values]}
