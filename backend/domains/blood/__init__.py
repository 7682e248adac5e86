from backend.domains.domain import Domain
DOMAIN = Domain(name="blood", tables="backend.domains.blood.tables", job_kinds=())
