import pytest

from asem.system.yaml_files import MAX_YAML_BYTES, read_yaml


def write(folder, text):
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_plain_values(tmp_path):
    text = "a: [1, 2.5]\nb: {c: true, d: text}\ne:\n"
    assert read_yaml(write(tmp_path, text)) == {
        "a": [1, 2.5], "b": {"c": True, "d": "text"}, "e": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not YAML"),
        ("- 1", "holds no table"),
        ("", "holds no table"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("a: &x [1]\nb: [*x, *x]", "has an alias"),
        ("a: " + "[" * 2000, "nested too deeply"),
        ("a: " + "[" * 200 + "]" * 200, "nested too deeply"),
        ("a: 2001-99-99", "cannot be read|not YAML"),
        ("a: " + "9" * 5000, "cannot be read"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("a: " + "x" * MAX_YAML_BYTES, "too much for settings"),
        ("{[1]: 2}", "is not YAML"),
    ],
)
def test_other_files_are_errors_of_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_yaml(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(OSError, match="regular file"):
        read_yaml(tmp_path)
