"""Rings that wait behind one another are sent as fewer, and every job is served."""

from collections import Counter
from math import ceil
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from backend.jobs.ring import Ring, coalesced

RINGS = st.lists(
    st.builds(
        Ring,
        kind=st.sampled_from(["a.one", "a.many"]),
        queue=st.sampled_from(["interactive", "batch"]),
        priority=st.sampled_from([0, 3, 6]),
        job_id=st.builds(uuid4),
    ),
    max_size=60,
)
CLAIMS = {"a.many": 5}


def group(ring: Ring) -> tuple[str, str, int]:
    return ring.kind, ring.queue, ring.priority


@given(RINGS)
def test_the_rings_that_are_kept_serve_every_job_and_are_no_more_than_that_takes(rings: list[Ring]):
    kept = Counter(map(group, coalesced(rings, CLAIMS)))
    for asked, count in Counter(map(group, rings)).items():
        assert kept[asked] == ceil(count / CLAIMS.get(asked[0], 1))


@given(RINGS)
def test_rings_keep_their_order_and_none_is_invented(rings: list[Ring]):
    kept = coalesced(rings, CLAIMS)
    places = [rings.index(ring) for ring in kept]
    assert places == sorted(places)


@given(RINGS)
def test_the_first_of_each_urgency_is_rung(rings: list[Ring]):
    kept = {group(ring): ring for ring in reversed(coalesced(rings, CLAIMS))}
    assert kept == {group(ring): ring for ring in reversed(rings)}


def test_a_kind_that_claims_one_job_at_a_time_is_rung_for_each():
    rings = [Ring("a.one", "batch", 3, uuid4()) for _ in range(7)]
    assert coalesced(rings, CLAIMS) == rings
