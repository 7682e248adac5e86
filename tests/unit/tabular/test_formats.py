import pytest

from backend.errors import BadFile
from backend.tabular.formats import Format, format_of


@pytest.mark.parametrize("format_", Format)
def test_a_format_is_found_by_its_media_type(format_: Format):
    assert format_of(format_.media_type) is format_


def test_case_and_parameters_of_a_content_type_do_not_matter():
    assert format_of('Text/CSV; header=present; charset="UTF-8"') is Format.CSV


@pytest.mark.parametrize("content_type", ["application/json", "", "csv"])
def test_another_content_type_is_refused_with_those_that_are_known(content_type: str):
    with pytest.raises(BadFile, match=r"send one of text/csv, application/x-ndjson, application/vnd\.apache\.parquet"):
        format_of(content_type)


def test_another_character_set_is_refused():
    with pytest.raises(BadFile, match="iso-8859-1; save the file as UTF-8"):
        format_of("text/csv; charset=iso-8859-1")


def test_a_suffix_is_the_format_with_a_dot():
    assert [format_.suffix for format_ in Format] == [".csv", ".ndjson", ".parquet"]
