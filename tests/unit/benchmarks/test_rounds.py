import pytest

from benchmarks.peers import BARE
from benchmarks.rounds import Bulk, Round, bulk_table, round_trip_table


def test_round_trips_are_medians_of_rounds_and_ratios_are_taken_within_a_round():
    rounds = {
        (BARE, 1): [Round(10.0, 20.0, 100.0), Round(40.0, 50.0, 25.0), Round(2.0, 3.0, 500.0)],
        ("ours", 1): [Round(5.0, 30.0, 200.0), Round(20.0, 90.0, 50.0), Round(4.0, 6.0, 1_250.0)],
    }

    table = round_trip_table([BARE, "ours"], rounds, clients=(1,), notes=("a note",))

    assert table.columns == ("system", "p50, 1 client", "p99, 1 client", "jobs/s, 1 client", "times bare p50, 1 client")
    assert table.rows == [(BARE, "10.0", "20.0", "100", "1.00"), ("ours", "5.0", "30.0", "200", "0.50")]
    assert table.notes == ("a note",)


def test_each_number_of_clients_has_its_own_columns():
    one = [Round(1.0, 2.0, 900.0)]
    many = [Round(50.0, 80.0, 1_200.0)]

    table = round_trip_table([BARE], {(BARE, 1): one, (BARE, 64): many}, clients=(1, 64), notes=())

    assert table.columns[1] == "p50, 1 client"
    assert table.columns[5] == "p50, 64 clients"
    assert table.rows == [(BARE, "1.0", "2.0", "900", "1.00", "50.0", "80.0", "1,200", "1.00")]


def test_a_ratio_needs_the_same_rounds_of_both():
    rounds = {(BARE, 1): [Round(1.0, 1.0, 1.0)] * 2, ("ours", 1): [Round(1.0, 1.0, 1.0)]}

    with pytest.raises(ValueError, match="argument 2 is longer"):
        round_trip_table(["ours"], rounds, clients=(1,), notes=())


def test_a_bulk_counts_from_the_first_job_sent_to_the_last_result_fetched():
    assert Bulk(jobs=4_000, sent=1.0, fetched=2.0).per_second == 2_000.0


def test_bulks_show_medians_and_how_many_times_the_jobs_of_bare_celery_a_second_they_are():
    bulks = {
        BARE: [Bulk(4_000, 4.0, 10.0), Bulk(4_000, 5.0, 20.0), Bulk(4_000, 6.0, 40.0)],
        "ours": [Bulk(4_000, 0.5, 2.0), Bulk(4_000, 0.4, 2.0), Bulk(4_000, 0.3, 10.0)],
    }

    table = bulk_table(bulks, notes=())

    assert table.rows == [
        (BARE, "4,000", "5.0", "20.0", "200", "1.00"),
        ("ours", "4,000", "0.4", "2.0", "2,000", "5.00"),
    ]
