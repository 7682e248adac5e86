from benchmarks.golden import artifact, golden_outputs, golden_row, golden_rows


def test_rows_begin_again_when_the_golden_ones_are_used_up():
    own = len(artifact().golden.rows)

    rows, outputs = golden_rows(own + 1), golden_outputs(own + 1)

    assert rows[own] == rows[0] == golden_row()
    assert outputs[own] == outputs[0]
    assert rows[1] != rows[0]


def test_the_model_that_is_asked_is_one_that_the_peers_can_load():
    assert artifact().manifest.runtime == "lightgbm"
