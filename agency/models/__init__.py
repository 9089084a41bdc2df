from agency.models.agency import Agency, AuditRecord, Membership
from agency.models.plan import Plan
from agency.models.user import User

__all__ = ["Agency", "AuditRecord", "Membership", "Plan", "User"]
