from benchmarks.report import Table, page

TABLE = Table(title="Jobs", columns=("system", "p50"), rows=[("bare", "3.5")], notes=("One Valkey.",))


def test_a_table_is_a_section_with_its_notes_below():
    assert TABLE.markdown() == "## Jobs\n\n| system | p50 |\n| --- | ---: |\n| bare | 3.5 |\n\n- One Valkey.\n"


def test_a_page_says_how_and_where_it_was_measured():
    text = page([TABLE], command="python -m benchmarks", busy=1.26)

    assert "`python -m benchmarks`" in text
    assert "lightgbm" in text
    assert "before it: 1.3" in text
    assert text.endswith(TABLE.markdown())
