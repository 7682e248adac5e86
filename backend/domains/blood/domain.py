"""What the blood service declares."""

from backend.domains.blood.history_lookup import match_history
from backend.domains.blood.match_jobs import MODELS, POOL, check_match, match_donors
from backend.domains.blood.schemas import HistoryPage, HistoryQuery, MatchRequest, MatchResult
from backend.domains.blood.seed import seed
from backend.domains.domain import Domain, Lookup
from backend.jobs.kinds import JobKind

DOMAIN = Domain(
    name="blood",
    tables="backend.domains.blood.tables",
    job_kinds=(
        JobKind(
            name="blood.match",
            path="/match",
            summary="Rank the donors to ask for a blood request",
            request=MatchRequest,
            result=MatchResult,
            run=match_donors,
            checks=(check_match,),
            queue="interactive",
            timeout=10,
            retries=2,
        ),
    ),
    lookups=(
        Lookup(
            name="blood.match_history",
            path="/predictions/history",
            summary="Read the saved matches of a blood request",
            query=HistoryQuery,
            result=HistoryPage,
            run=match_history,
        ),
    ),
    models=MODELS,
    preload=POOL.snapshot,
    seed=seed,
)
