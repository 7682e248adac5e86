import pytest

from benchmarks.bulk import check


def test_results_that_belong_to_their_rows_pass():
    check([0.25, 0.5], [0.25, 0.5 + 1e-9])


def test_a_missing_result_fails_the_measurement():
    with pytest.raises(RuntimeError, match="1 results of 2 jobs"):
        check([0.25], [0.25, 0.5])


def test_results_in_another_order_fail_the_measurement():
    with pytest.raises(RuntimeError, match=r"job 0 was answered with 0\.5, and the model says 0\.25"):
        check([0.5, 0.25], [0.25, 0.5])
